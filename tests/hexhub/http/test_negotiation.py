"""Formats of answers and requests (http-api.md §1.3 to §1.6)."""

from __future__ import annotations

import struct

import pytest
import pytest_asyncio
from hypothesis import given, settings, strategies as st

from hexhub.formats import erlang_external
from hexhub.http import negotiation
from tests.hexhub.hubs import ERLANG, Answer, Person, TestHub
from tests.hexhub.packages import package
from tests.hexhub.raw import wire

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def hub(module_hub: TestHub) -> TestHub:
    """One hub for all tests here."""
    return module_hub


@pytest.fixture(scope="module")
def mara(module_mara: Person) -> Person:
    """A user with a key for the API and all repositories."""
    return module_mara


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def acorn(mara: Person) -> None:
    """A package."""
    assert (await mara.publish(package("acorn"))).status == 201


JSON_TYPE = "application/json; charset=utf-8"
ERLANG_TYPE = "application/vnd.hex+erlang; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", JSON_TYPE),
        ("application/json", JSON_TYPE),
        ("application/vnd.hex+json", JSON_TYPE),
        ("application/vnd.hex+erlang", ERLANG_TYPE),
        ("APPLICATION/VND.HEX+ERLANG", ERLANG_TYPE),
        ("application/*", JSON_TYPE),
        ("text/html, application/vnd.hex+erlang", ERLANG_TYPE),
        ("text/html, application/vnd.hex+erlang;q=0.2, */*;q=0.1", ERLANG_TYPE),
        ("application/json;q=0.5, application/vnd.hex+erlang;q=0.9", ERLANG_TYPE),
        ("application/json;q=0.5, application/vnd.hex+erlang", ERLANG_TYPE),
        ("application/vnd.hex+erlang, application/json", ERLANG_TYPE),
        ("text/html, */*", JSON_TYPE),
        ("application/json; charset=utf-8", JSON_TYPE),
        ("application/vnd.hex+erlang;q=1.0", ERLANG_TYPE),
    ],
)
async def test_the_accept_header_chooses_the_format(
    hub: TestHub, accept: str, content_type: str
) -> None:
    answer = await hub.nobody.get("/api", Accept=accept)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == content_type
    assert answer.value["keys_url"].endswith("/keys")


async def test_without_an_accept_header_it_is_json(hub: TestHub) -> None:
    answer = await hub.nobody.get("/api")
    assert answer.headers["Content-Type"] == JSON_TYPE


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/vnd.hex",
        "text/*",
        "application/vnd.hex+elixir",
        "application/json;q=0",
        "application/json;q=x",
        ",",
        ";;;",
    ],
)
async def test_no_acceptable_format_is_406(hub: TestHub, accept: str) -> None:
    answer = await hub.nobody.get("/api", Accept=accept)
    assert (answer.status, answer.value) == (406, {"status": 406, "message": None})


async def test_only_the_first_accept_header_counts(hub: TestHub) -> None:
    async with wire(hub.url) as connection:
        connection.send(
            b"GET /api HTTP/1.1\r\nhost: h\r\nuser-agent: a\r\n"
            b"accept: application/vnd.hex+erlang\r\naccept: application/json\r\n\r\n"
        )
        answer = await connection.answer()
    assert answer.headers["Content-Type"] == ERLANG_TYPE


async def test_a_parameter_overrides_the_header(mara: Person) -> None:
    by_query = await mara.get("/api?_format=erlang", Accept="application/json")
    by_body = await mara.post("/api/keys", {"name": "a", "_format": "erlang"})
    assert by_query.headers["Content-Type"] == ERLANG_TYPE
    assert by_body.headers["Content-Type"] == ERLANG_TYPE


@pytest.mark.parametrize("value", ["xml", "elixir", "", "JSON"])
async def test_another_format_parameter_is_406(hub: TestHub, value: str) -> None:
    assert (await hub.nobody.get(f"/api?_format={value}")).status == 406


@pytest.mark.parametrize("value", [["json"], {"json": 1}, 1, True])
async def test_a_format_of_another_type_is_406(mara: Person, value: object) -> None:
    assert (await mara.post("/api/keys", {"name": "a", "_format": value})).status == 406


async def test_errors_follow_the_accept_header(hub: TestHub) -> None:
    """Those of a resource, and those from before a route is known."""
    for path in ("/api/packages/unknown", "/api/nothing"):
        answer = await hub.nobody.get(path, Accept=ERLANG)
        assert answer.headers["Content-Type"] == ERLANG_TYPE
        assert answer.value == {"status": 404, "message": "Page not found"}
    malformed = await hub.nobody.post(
        "/api/keys", data=b"\x83", headers={"Content-Type": ERLANG, "Accept": ERLANG}
    )
    assert (malformed.status, malformed.value["message"]) == (400, "Bad request")


def _tags(data: bytes) -> set[int]:
    """Every tag of a term, walked by hand (http-api.md §1.4)."""
    found: set[int] = set()

    def walk(at: int) -> int:
        tag = data[at]
        found.add(tag)
        if tag == 97:
            return at + 2
        if tag == 98:
            return at + 5
        if tag == 70:
            return at + 9
        if tag == 106:
            return at + 1
        if tag == 119:
            atom = data[at + 2 : at + 2 + data[at + 1]]
            assert atom in (b"nil", b"true", b"false")
            return at + 2 + data[at + 1]
        size = struct.unpack(">I", data[at + 1 : at + 5])[0]
        at += 5
        if tag == 109:
            return at + int(size)
        if tag == 108:
            for _ in range(size):
                at = walk(at)
            assert data[at] == 106
            return at + 1
        assert tag == 116
        for _ in range(size):
            assert data[at] == 109, "keys are binaries"
            at = walk(walk(at))
        return at

    assert data[0] == 131
    assert walk(1) == len(data)
    return found


async def test_erlang_answers_hold_only_tags_and_atoms_that_clients_read(mara: Person) -> None:
    answers = [
        await mara.get(path, Accept=ERLANG)
        for path in ("/api/packages/acorn", "/api/packages/acorn/releases/1.0.0", "/api/users/me")
    ]
    allowed = {97, 98, 110, 70, 106, 108, 109, 116, 119}
    assert all(_tags(answer.body) <= allowed for answer in answers)


async def test_the_example_of_an_error_in_erlang_is_byte_for_byte(hub: TestHub) -> None:
    answer = await hub.nobody.get("/api", Accept=f"{ERLANG};q=0")
    assert answer.status == 406
    refused = erlang_external.encode({"status": 404, "message": None})
    assert (
        refused
        == bytes.fromhex(
            "8374000000026D00000006" + b"status".hex() + "62000001946D00000007" + b"message".hex()
        )
        + b"\x77\x03nil"
    )


async def test_dates_have_microseconds_in_json_and_seconds_in_erlang(mara: Person) -> None:
    json = (await mara.get("/api/users/me")).value["inserted_at"]
    erlang = (await mara.get("/api/users/me", Accept=ERLANG)).value["inserted_at"]
    assert len(json) == len("2030-01-01T00:00:00.000000Z")
    assert json[-1] == "Z"
    assert erlang == json[:19] + "Z"


async def test_no_value_is_nil_in_erlang(mara: Person) -> None:
    answer = await mara.get("/api/packages/acorn/releases/1.0.0", Accept=ERLANG)
    assert answer.value["retirement"] is None
    assert b"\x77\x03nil" in answer.body


async def test_answers_without_a_body_have_no_content_type(mara: Person) -> None:
    answer = await mara.post(
        "/api/packages/acorn/releases/1.0.0/retire", {"reason": "other"}, headers={"Accept": ERLANG}
    )
    assert (answer.status, answer.body) == (204, b"")
    assert "Content-Type" not in answer.headers


async def _key(mara: Person, content_type: str, data: bytes) -> Answer:
    return await mara.post("/api/keys", data=data, headers={"Content-Type": content_type})


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"name":"k"}'),
        ("application/vnd.hex+json", b'{"name":"k"}'),
        ("application/json; charset=utf-8", b'{"name":"k"}'),
        ("APPLICATION/JSON", b'{"name":"k"}'),
        ("application/x-www-form-urlencoded", b"name=k"),
        ("application/vnd.hex+erlang", erlang_external.encode({"name": "k"})),
    ],
)
async def test_the_content_type_says_how_a_body_is_read(
    mara: Person, content_type: str, body: bytes
) -> None:
    answer = await _key(mara, content_type, body)
    assert answer.status == 201
    assert answer.value["name"].startswith("k")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"[1]"),
        ("application/json", b'"text"'),
        ("application/vnd.hex+erlang", b""),
        ("application/vnd.hex+erlang", erlang_external.encode([1])),
        ("text/plain", b'{"name":"k"}'),
        ("", b'{"name":"k"}'),
    ],
)
async def test_a_body_that_is_no_map_or_not_read_holds_no_parameter(
    mara: Person, content_type: str, body: bytes
) -> None:
    answer = await _key(mara, content_type, body)
    assert (answer.status, answer.errors) == (422, {"name": "can't be blank"})


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b'{"name":NaN}'),
        ("application/json", b'{"name":"\xff"}'),
        ("application/json", b'{"name":"\\ud800"}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b"1" * 10_000),
        ("application/vnd.hex+erlang", b"\x82"),
        ("application/vnd.hex+erlang", b"\x83"),
        ("application/vnd.hex+erlang", b"\x83\x50\x00\x00\x00\x01x"),
        ("application/vnd.hex+erlang", b"\x83" + b"\x6c\x00\x00\x00\x01" * 5000),
        ("application/vnd.hex+erlang", b"\x83\x6c\xff\xff\xff\xff\x6a"),
        ("application/vnd.hex+erlang", b"\x83\x70\x00\x00\x00\x04"),
        ("application/vnd.hex+erlang", b"\x83\x67w\x01a\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        ("application/vnd.hex+erlang", b"\x83\x6f\x7f\xff\xff\xff\x00"),
        ("application/vnd.hex+erlang", erlang_external.encode({"name": "k"}) + b"x"),
        ("application/x-www-form-urlencoded", b"name=\xff"),
        ("application/x-www-form-urlencoded", b"name=%ff"),
        ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(2000))),
    ],
)
async def test_a_malformed_body_is_400(mara: Person, content_type: str, body: bytes) -> None:
    answer = await _key(mara, content_type, body)
    assert answer.status == 400
    assert answer.value == {"status": 400, "message": "Bad request"}


async def test_atoms_in_requests_are_taken_as_their_text(mara: Person) -> None:
    domain = b"\x77\x03api"
    key = b"\x74\x00\x00\x00\x01" + b"\x77\x06domain" + domain
    body = (
        b"\x83\x74\x00\x00\x00\x03"
        + b"\x77\x04name"
        + b"\x6d\x00\x00\x00\x01k"
        + b"\x6d\x00\x00\x00\x0bpermissions"
        + b"\x6c\x00\x00\x00\x01"
        + key
        + b"\x6a"
        + b"\x6d\x00\x00\x00\x09revoke_at"
        + b"\x77\x09undefined"
    )
    answer = await _key(mara, ERLANG, body)
    assert answer.status == 201
    assert answer.value["permissions"] == [{"domain": "api", "resource": None}]


@pytest.mark.parametrize(
    ("content_type", "size", "refused"),
    [
        ("application/json", 8_000_001, True),
        ("application/vnd.hex+erlang", 8_000_001, True),
        ("application/x-www-form-urlencoded", 1_000_001, True),
        ("application/json", 1_000_001, False),
    ],
)
async def test_a_parsed_body_has_a_limit(
    mara: Person, content_type: str, size: int, refused: bool
) -> None:
    answer = await _key(mara, content_type, b" " * size)
    if refused:
        assert answer.value == {"status": 413, "message": "Payload too large"}
    else:
        assert answer.status == 400


async def test_a_body_in_chunks_has_the_same_limit(hub: TestHub, mara: Person) -> None:
    async with wire(hub.url) as connection:
        connection.head(
            "POST",
            "/api/keys",
            authorization=mara.authorization or "",
            content_type="application/x-www-form-urlencoded",
            transfer_encoding="chunked",
        )
        for _ in range(16):
            connection.send(b"10000\r\n" + b"a" * 65536 + b"\r\n")
        answer = await connection.answer()
    assert answer.status == 413


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=5), st.integers(0, 1 << 40) | st.text(max_size=5), max_size=3
        )
    ),
    st.sampled_from([negotiation.JSON, negotiation.ERLANG]),
)
async def test_a_list_of_encoded_values_is_the_encoded_list(
    values: list[dict[str, int | str]], format: str
) -> None:
    joined = negotiation.join([negotiation.encode(each, format) for each in values], format)
    assert joined == negotiation.encode(values, format)
