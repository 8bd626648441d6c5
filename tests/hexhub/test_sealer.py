"""The hash chain of the audit log."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from hexhub import sealer
from hexhub.domain import audit
from hexhub.errors import Malformed
from tests.hexhub.hubs import Person, TestHub


async def exported(hub: TestHub) -> list[dict[str, Any]]:
    """The chain as an export writes and reads it."""
    with hub.hub.store.view() as view:
        lines = [json.dumps(audit.exported(row)) for row in audit.chain(view)]
    return [json.loads(line) for line in lines]


async def test_every_record_carries_the_hash_of_the_one_before(hub: TestHub, mara: Person) -> None:
    for name in ("a", "b", "c"):
        await mara.post("/api/keys", {"name": name})
    await sealer.seal_waiting(hub.hub.store)
    await mara.delete("/api/keys/b")
    await sealer.seal_waiting(hub.hub.store)

    lines = await exported(hub)

    assert [line["place"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[0]["previous"] == "0" * 64
    assert all(b["previous"] == a["hash"] for a, b in pairwise(lines))
    assert lines[-1]["action"] == "key.remove"
    assert lines[-1]["by"] == "user:mara"
    assert lines[-1]["key"] == "test"
    assert lines[-1]["ip"] == "127.0.0.1"
    assert audit.verify(iter(lines)) == len(lines)


async def test_a_record_that_was_changed_or_taken_out_is_found(hub: TestHub, mara: Person) -> None:
    for name in ("a", "b", "c"):
        await mara.post("/api/keys", {"name": name})
    await sealer.seal_waiting(hub.hub.store)
    lines = await exported(hub)

    changed = [dict(line) for line in lines]
    changed[-2]["by"] = "user:olaf"
    with pytest.raises(Malformed, match="was changed"):
        audit.verify(iter(changed))
    with pytest.raises(Malformed, match="missing"):
        audit.verify(iter([*lines[:-2], lines[-1]]))


async def test_sealers_at_work_at_the_same_time_make_one_chain(hub: TestHub, mara: Person) -> None:
    async def change(number: int) -> None:
        await mara.post("/api/keys", {"name": f"key-{number}"})

    await asyncio.gather(
        *(change(number) for number in range(30)),
        *(sealer.seal_waiting(hub.hub.store) for _ in range(3)),
    )
    await sealer.seal_waiting(hub.hub.store)

    lines = await exported(hub)
    made = [line["params"]["name"] for line in lines if line["action"] == "key.generate"]
    assert sorted(made) == sorted(["test", *(f"key-{number}" for number in range(30))])
    assert audit.verify(iter(lines)) == len(lines)


async def test_a_sealed_log_has_nothing_more_to_seal(hub: TestHub, mara: Person) -> None:
    assert await sealer.seal_waiting(hub.hub.store) > 0
    assert await sealer.seal_waiting(hub.hub.store) == 0
