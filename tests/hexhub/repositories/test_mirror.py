"""The transparent mirror: what it passes on, keeps, refuses, and serves when the upstream is gone."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hexhub.formats import registry as wire, signing_key
from hexhub.storage import Spooled
from tests.end_to_end.packages import tarball
from tests.hexhub.mirrors import Pair

TARBALL = "/tarballs/pine-1.0.0.tar"


async def test_registry_and_tarballs_of_the_upstream_are_passed_on_unchanged(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0")
    for path in ("/names", "/versions", "/packages/pine"):
        theirs = await pair.upstream.nobody.get(path)
        ours = await pair.get(path)
        assert (ours.status, ours.body) == (200, theirs.body)
    answer = await pair.get(TARBALL)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["ETag"]


async def test_a_second_request_asks_nothing_of_the_upstream(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    first = [await pair.get(path) for path in ("/packages/pine", TARBALL)]
    asked = pair.between.total
    second = [await pair.get(path) for path in ("/packages/pine", TARBALL)]
    assert [each.headers["X-Cache"] for each in first + second] == ["MISS", "MISS", "HIT", "HIT"]
    assert pair.between.total == asked


async def test_no_credentials_go_to_the_upstream(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.mara.get("/packages/pine")
    assert pair.between.headers
    for headers in pair.between.headers:
        assert not {"Authorization", "Cookie"} & headers.keys()
        assert headers["User-Agent"].startswith("HexHub/")


async def test_what_was_fetched_is_served_when_the_upstream_is_gone_and_says_its_age(
    pair: Pair,
) -> None:
    body = await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    await pair.get(TARBALL)
    pair.between.fault = "reset"
    pair.hub.clock.ahead = timedelta(days=30)
    answer = await pair.get("/packages/pine")
    assert (answer.status, answer.headers["X-Cache"]) == (200, "STALE")
    assert int(answer.headers["Age"]) >= 30 * 86_400
    assert answer.headers["Warning"].startswith("111")
    assert "must-revalidate" in answer.headers["Cache-Control"]
    assert (await pair.get(TARBALL)).body == body


async def test_a_copy_is_fresh_for_a_minute_then_revalidated_behind_the_answer(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    await pair.publish("pine", "1.1.0")
    pair.hub.clock.ahead = timedelta(seconds=50)
    assert (await pair.get("/packages/pine")).headers["X-Cache"] == "HIT"
    pair.hub.clock.ahead = timedelta(seconds=90)
    stale = await pair.get("/packages/pine")
    assert stale.headers["X-Cache"] == "STALE"
    mirror = pair.hub.hub.mirror
    assert mirror is not None
    await pair.hub.settled(lambda: mirror.mirrored.under_way == 0)
    fresh = await pair.get("/packages/pine")
    assert fresh.headers["X-Cache"] == "HIT"
    assert fresh.body == (await pair.upstream.nobody.get("/packages/pine")).body != stale.body


async def test_an_old_copy_is_revalidated_before_the_answer_by_a_conditional_request(
    pair: Pair,
) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    pair.hub.clock.ahead = timedelta(hours=1)
    answer = await pair.get("/packages/pine")
    assert (answer.headers["X-Cache"], answer.headers["Age"]) == ("REVALIDATED", "0")
    assert pair.between.statuses[-1] == ("/packages/pine", 304)


async def test_a_slow_upstream_is_waited_for_a_bounded_time(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    pair.hub.clock.ahead = timedelta(hours=1)
    pair.between.hold()
    answers = await asyncio.gather(*(pair.get("/packages/pine") for _ in range(20)))
    assert {each.headers["X-Cache"] for each in answers} == {"STALE"}
    # The request is still under way: nobody waits for it once more.
    assert (await pair.get("/packages/pine")).headers["X-Cache"] == "STALE"
    assert pair.between.requests["/packages/pine"] == 2


async def test_a_thousand_clients_that_miss_the_same_tarball_cause_one_request(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0", {"large": bytes(300_000)})
    await pair.get("/packages/pine")
    pair.between.hold()
    waiting = [asyncio.create_task(pair.get(TARBALL)) for _ in range(1000)]
    await pair.hub.settled(lambda: pair.between.requests[TARBALL] == 1)
    pair.between.gate.set()
    answers = await asyncio.gather(*waiting)
    assert {each.status for each in answers} == {200}
    assert {each.body for each in answers} == {body}
    assert pair.between.requests[TARBALL] == 1


async def test_a_disk_that_lags_behind_is_waited_for_before_memory_fills(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, gate = pair.hub.hub.storage, asyncio.Event()
    keep, mirrored = storage.keep, pair.hub.hub.mirror.mirrored  # type: ignore[union-attr]

    async def slowly(spooled: Spooled) -> None:
        await gate.wait()
        await keep(spooled)

    monkeypatch.setattr(storage, "keep", slowly)
    monkeypatch.setattr("hexhub.repositories.mirrored.LANDING_MAX", 2)
    body = await pair.publish("pine", "1.0.0")
    await pair.publish("oak", "1.0.0")
    assert (await pair.get("/packages/pine")).status == 200
    assert (await pair.get(TARBALL)).body == body
    waiting = asyncio.create_task(pair.get("/packages/oak"))
    await pair.hub.settled(lambda: mirrored.landing == 3)
    assert not waiting.done()
    gate.set()
    assert (await waiting).status == 200
    await pair.hub.settled(lambda: mirrored.landing == 0)


async def test_a_client_that_goes_away_does_not_end_the_fetch_for_others(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    pair.between.hold()
    gone = asyncio.create_task(pair.get(TARBALL))
    await pair.hub.settled(lambda: pair.between.requests[TARBALL] == 1)
    other = asyncio.create_task(pair.get(TARBALL))
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    pair.between.gate.set()
    assert (await other).body == body
    assert pair.between.requests[TARBALL] == 1


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        *(
            ("/packages/pine", fault)
            for fault in ("html", "wrong", "truncate", "not_modified", "reset", "503")
        ),
        *((path, fault) for path in ("/names", "/versions") for fault in ("html", "wrong")),
    ],
)
async def test_a_faulty_upstream_gets_nothing_stored_and_the_kept_copy_stays(
    pair: Pair, fault: str, path: str
) -> None:
    await pair.publish("pine", "1.0.0")
    pair.between.fault = fault
    cold = await pair.get(path)
    assert cold.status in (502, 503)
    pair.between.fault = None
    pair.hub.clock.ahead = timedelta(minutes=2)
    good = await pair.get(path)
    assert good.status == 200
    await pair.publish("pine", "1.1.0")
    pair.between.fault = fault if fault != "not_modified" else "html"
    pair.hub.clock.ahead = timedelta(hours=2)
    stale = await pair.get(path)
    assert (stale.status, stale.body) == (200, good.body)
    assert stale.headers["X-Cache"] == "STALE"


@pytest.mark.parametrize("fault", ["html", "wrong", "truncate", "reset", "500"])
async def test_a_tarball_that_is_not_the_signed_one_never_leaves(pair: Pair, fault: str) -> None:
    body = await pair.publish("pine", "1.0.0")
    pair.between.fault, pair.between.only = fault, "/tarballs/"
    assert (await pair.get(TARBALL)).status in (502, 503)
    pair.between.fault = None
    pair.hub.clock.ahead = timedelta(minutes=2)
    assert (await pair.get(TARBALL)).body == body


async def test_a_failure_that_passes_is_tried_again_within_the_request(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    pair.between.fault, pair.between.times = "502", 2
    assert (await pair.get("/packages/pine")).status == 200
    assert pair.between.requests["/packages/pine"] == 3


async def test_a_registry_that_was_rolled_back_is_refused(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    old = await pair.upstream.nobody.get("/packages/pine")
    await pair.publish("pine", "1.1.0")
    pair.hub.clock.ahead = timedelta(days=3)
    good = await pair.get("/packages/pine")
    pair.between.replayed["/packages/pine"] = old.body
    pair.hub.clock.ahead = timedelta(days=4)
    answer = await pair.get("/packages/pine")
    assert (answer.body, answer.headers["X-Cache"]) == (good.body, "STALE")


async def test_a_release_that_was_reverted_in_time_disappears(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.publish("pine", "1.1.0")
    await pair.get("/packages/pine")
    reverted = await pair.author.delete("/api/packages/pine/releases/1.1.0")
    assert reverted.status == 204
    pair.hub.clock.ahead = timedelta(minutes=5)
    answer = await pair.get("/packages/pine")
    assert answer.body == (await pair.upstream.nobody.get("/packages/pine")).body
    assert answer.headers["X-Cache"] == "REVALIDATED"


async def test_another_package_under_a_good_signature_is_refused(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.publish("larch", "1.0.0")
    other = await pair.upstream.nobody.get("/packages/larch")
    pair.between.replayed["/packages/pine"] = other.body
    assert (await pair.get("/packages/pine")).status == 502


async def test_a_good_package_under_another_key_is_refused(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    theirs = signing_key.load_public_key(pair.key_file.read_bytes())
    good = (await pair.upstream.nobody.get("/packages/pine")).body
    payload = wire.unseal(good, theirs, size_max=100_000)
    pair.between.replayed["/packages/pine"] = wire.seal(
        payload, rsa.generate_private_key(65537, 2048)
    )
    assert (await pair.get("/packages/pine")).status == 502
    assert (await pair.get(TARBALL)).status == 502


async def test_a_package_of_another_repository_under_a_good_signature_is_refused(
    pair: Pair,
) -> None:
    await pair.upstream.organization("acme", pair.author)
    body = tarball("pine", "1.0.0", {"README.md": b"not for everybody"})
    assert (await pair.author.publish(body, repository="acme")).status == 201
    private = (await pair.author.get("/repos/acme/packages/pine")).body
    pair.between.replayed["/packages/pine"] = private
    assert (await pair.get("/packages/pine")).status == 502


async def test_a_replaced_release_is_fetched_anew(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get(TARBALL)
    body = await pair.publish("pine", "1.0.0", {"other": b"content"})
    pair.hub.clock.ahead = timedelta(minutes=5)
    await pair.get("/packages/pine")
    assert (await pair.get(TARBALL)).body == body


async def test_a_replaced_release_that_meets_the_old_registry_is_looked_up_again(
    pair: Pair,
) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    body = await pair.publish("pine", "1.0.0", {"other": b"content"})
    assert (await pair.get(TARBALL)).body == body


async def test_a_release_that_the_kept_registry_lacks_is_looked_for_at_once(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    await pair.get("/packages/pine")
    body = await pair.publish("pine", "1.1.0")
    pair.hub.clock.ahead = timedelta(seconds=10)
    assert (await pair.get("/tarballs/pine-1.1.0.tar")).body == body


async def test_a_name_that_does_not_exist_is_remembered_for_half_a_minute(pair: Pair) -> None:
    for _ in range(3):
        assert (await pair.get("/packages/pine")).status == 404
    assert pair.between.requests["/packages/pine"] == 1
    await pair.publish("pine", "1.0.0")
    pair.hub.clock.ahead = timedelta(seconds=31)
    assert (await pair.get("/packages/pine")).status == 200


async def test_an_upstream_that_cannot_be_reached_is_never_a_missing_package(pair: Pair) -> None:
    pair.between.fault = "503"
    answer = await pair.get("/packages/pine")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_dead_upstream_is_left_alone_and_found_again(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    pair.between.fault = "503"
    for number in range(10):
        assert (await pair.get(f"/packages/p{number}")).status == 503
    asked = pair.between.total
    assert (await pair.get("/packages/pine")).status == 503
    assert pair.between.total == asked
    pair.between.fault = None
    pair.hub.clock.ahead = timedelta(minutes=2)
    assert (await pair.get("/packages/pine")).status == 200


async def test_ten_minutes_of_a_dead_upstream_pile_up_nobody(pair: Pair) -> None:
    """Nor is it asked for each of them, and clients that come again by themselves are sent away."""
    pair.between.fault = "reset"
    mirrored = pair.hub.hub.mirror.mirrored  # type: ignore[union-attr]
    for minute in range(10):
        pair.hub.clock.ahead = timedelta(minutes=minute)
        paths = [f"/tarballs/p{number}-1.0.0.tar" for number in range(20)]
        answers = await asyncio.gather(*(pair.get(path) for path in paths))
        assert {answer.status for answer in answers} == {503}
        assert mirrored.under_way == 0
        patience = min(int(answer.headers["Retry-After"]) for answer in answers)
        assert (patience >= 100) == (minute > 0)
    assert pair.between.total < 60


async def test_an_upstream_that_asks_to_wait_is_left_alone_for_as_long(pair: Pair) -> None:
    await pair.publish("pine", "1.0.0")
    pair.between.fault, pair.between.retry_after = "429", "120"
    answer = await pair.get("/packages/pine")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "120")
    pair.between.fault = None
    pair.hub.clock.ahead = timedelta(seconds=60)
    assert (await pair.get("/packages/pine")).status == 503
    pair.hub.clock.ahead = timedelta(seconds=125)
    assert (await pair.get("/packages/pine")).status == 200
    assert pair.between.requests["/packages/pine"] == 2


async def test_head_range_and_conditions_are_answered_from_the_copy(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0")
    full = await pair.get(TARBALL, if_none_match="")
    assert full.status == 200
    part = await pair.get(TARBALL, range="bytes=10-19")
    assert (part.status, part.body) == (206, body[10:20])
    head = await pair.hub.nobody.request("HEAD", TARBALL)
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(body)))
    assert (await pair.get(TARBALL, if_none_match=full.headers["ETag"])).status == 304
    assert (await pair.get("//packages/pine")).status == 200


async def test_a_copy_that_was_lost_on_disk_is_fetched_again(pair: Pair) -> None:
    body = await pair.publish("pine", "1.0.0", {"large": random.Random(1).randbytes(400_000)})
    assert (await pair.get(TARBALL)).body == body
    for file in (pair.hub.folder / "data" / "storage").glob("??/*"):
        if file.stat().st_size == len(body):
            file.unlink()
    assert (await pair.get(TARBALL)).body == body
    assert pair.between.requests[TARBALL] == 2
