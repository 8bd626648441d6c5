"""Rows that are older than the code are brought to it; newer ones are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from cluster import (
    DataInUse,
    Node,
    NotJoined,
    Record,
    Schema,
    SchemaTooNew,
    Transaction,
    migrate,
    plan,
    restore,
    store,
)
from cluster.command import VERSION
from cluster.disk import Log
from cluster.journal import Journal
from tests.cluster.conftest import OpenNode
from tests.cluster.members import Members, get, until, written
from tests.cluster.tables import put

first = Schema(number=1)


@first.table("people", key=("name",))
class PersonWas(Record, kw_only=True):
    name: str
    mail: str = ""


second = Schema(number=2)
"""Names are kept in lower case, addresses became several and are an index."""


@second.table("people", key=("name",), indexes={"mail": ("mails",)})
class Person(Record, kw_only=True):
    name: str
    mail: str = ""
    mails: tuple[str, ...] = ()


@second.table("domains", key=("name",))
class Domain(Record, kw_only=True):
    name: str
    people: int = 0


@second.migration(2)
def split_addresses(tx: Transaction) -> None:
    for was in tx.scan(Person):
        mails = tuple(was.mail.split(",")) if was.mail else ()
        tx.delete(was)
        tx.put(msgspec.structs.replace(was, name=was.name.lower(), mail="", mails=mails))
        for name in {mail.partition("@")[2] for mail in mails}:
            domain = tx.get(Domain, name) or Domain(name=name)
            tx.put(msgspec.structs.replace(domain, people=domain.people + 1))


third = Schema(number=3)


@third.table("people", key=("name",), indexes={"mail": ("mails",), "back": ("backwards",)})
class PersonNow(Person, kw_only=True):
    @property
    def backwards(self) -> str:
        return self.name[::-1]


@pytest.fixture
async def members(tmp_path: Path) -> AsyncIterator[Members]:
    made = Members(tmp_path)
    yield made
    await made.close()


async def old_rows(open_node: OpenNode, count: int = 2) -> None:
    node = await open_node(first)

    def fill(tx: Transaction) -> None:
        tx.put(PersonWas(name="Ann", mail="ann@a.org,ann@b.org"))
        tx.put(PersonWas(name="Bob"))
        for at in range(count - 2):
            tx.put(PersonWas(name=f"P{at:05}", mail="x" * 100))

    await node.store.transact(fill)
    await node.close()


def check(node: Node) -> None:
    with node.store.view() as view:
        assert view.get(Person, "ann") == Person(name="ann", mails=("ann@a.org", "ann@b.org"))
        assert view.get(Person, "Ann") is None
        assert [person.name for person in view.find(Person, "mail", "ann@b.org")] == ["ann"]
        domains = [(domain.name, domain.people) for domain in view.scan(Domain) if domain.name]
        assert domains == [("a.org", 1), ("b.org", 1)]


async def test_older_rows_are_migrated_at_start_after_a_snapshot(
    open_node: OpenNode, tmp_path: Path
) -> None:
    await old_rows(open_node)
    node = await open_node(second)
    check(node)
    await node.close()
    node = await open_node(second)
    check(node)
    await node.close()
    restore(tmp_path / "before", tmp_path / "data" / "snapshots", name="n")
    before = await open_node(first, directory=tmp_path / "before")
    with before.store.view() as view:
        assert [person.name for person in view.scan(PersonWas)] == ["Ann", "Bob"]


async def test_a_migration_runs_once(open_node: OpenNode) -> None:
    await old_rows(open_node)
    node = await open_node(second)
    applied = node.store.applied
    await node.close()
    node = await open_node(second)
    assert node.store.applied == applied + 1  # the entry of the new term, nothing else


async def test_a_migration_larger_than_an_entry_is_still_one_step(open_node: OpenNode) -> None:
    await old_rows(open_node, count=7000)
    watching = Schema(number=2)

    @watching.table("people", key=("name",), indexes={"mail": ("mail",)})
    class Watched(Record, kw_only=True):
        name: str
        mail: str = ""

    node = await open_node(watching)
    with node.store.view() as view:
        assert sum(1 for _ in view.find(Watched, "mail", "x" * 100)) == 6998
    await node.close()


async def test_a_migration_that_was_cut_off_is_done_again_from_the_start(
    open_node: OpenNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old_rows(open_node, count=7000)
    real = store.Store.propose
    proposed: list[object] = []

    async def cut_off(self: store.Store, word: object, deadline: float) -> object:
        proposed.append(word)
        if type(word).__name__ == "Migrate":
            raise RuntimeError("pulled the plug")
        return await real(self, word, deadline)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(store.Store, "propose", cut_off)
        patch.setattr(migrate, "PART_BYTES_MAX", 100_000)
        with pytest.raises(RuntimeError, match="plug"):
            await open_node(second)
    assert len(proposed) > 5
    node = await open_node(second)
    check(node)
    with node.store.view() as view:
        assert view.count(Person) == 7000


async def test_a_new_index_lists_the_old_rows(open_node: OpenNode) -> None:
    await old_rows(open_node)
    await (await open_node(second)).close()
    node = await open_node(third)
    with node.store.view() as view:
        assert [person.name for person in view.find(PersonNow, "back")] == ["bob", "ann"]
        assert [person.name for person in view.find(PersonNow, "mail")] == ["ann", "ann"]


async def test_a_plan_says_what_the_next_start_would_do(
    open_node: OpenNode, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert plan(data, second) is None
    await old_rows(open_node)
    found = plan(data, second)
    assert found is not None
    assert (found.schema, found.knows_schema, found.changes) == (1, 2, True)
    assert (found.migrations, found.indexed, found.members) == ((2,), ("people",), ("n1",))
    assert (unchanged := plan(data, first)) is not None
    assert not unchanged.changes
    node = await open_node(second)
    check(node)
    with pytest.raises(DataInUse):
        plan(data, second)
    await node.close()
    with pytest.raises(SchemaTooNew, match="schema 2, this program knows 1"):
        plan(data, first)
    assert (third_start := plan(data, third)) is not None
    assert (third_start.migrations, third_start.indexed) == ((), ("people",))


async def test_newer_rows_are_refused_and_left_alone(open_node: OpenNode) -> None:
    await old_rows(open_node)
    await (await open_node(second)).close()
    with pytest.raises(SchemaTooNew, match="schema 2, this program knows 1"):
        await open_node(first)
    node = await open_node(second)
    check(node)


async def test_an_entry_in_newer_words_is_refused_at_start(
    open_node: OpenNode, tmp_path: Path
) -> None:
    await old_rows(open_node)
    journal = Journal(Log(tmp_path / "data" / "raft", map_size=1 << 20))
    journal.add(bytes([0, VERSION + 1]) + b"words of tomorrow", journal.last_index + 1, 1)
    journal.close()
    with pytest.raises(SchemaTooNew, match="newer version"):
        await open_node(first)


async def test_a_directory_of_a_newer_format_is_refused(
    open_node: OpenNode, tmp_path: Path
) -> None:
    await old_rows(open_node)
    log = Log(tmp_path / "data" / "raft", map_size=1 << 20)
    identity = msgspec.msgpack.decode(log.values()[b"identity"])
    log.write(None, None, (), {b"identity": msgspec.msgpack.encode(identity | {"format": 2})})
    log.close()
    with pytest.raises(SchemaTooNew, match="format 2, this program knows 1"):
        await open_node(first)


async def test_several_members_are_migrated_once_when_the_last_one_knows_how(
    members: Members,
) -> None:
    """One after the other runs the newer code; writes go on meanwhile, and who is late is refused."""
    nodes = list(await members.three(schema=first))

    def fill(tx: Transaction) -> None:
        tx.put(PersonWas(name="Ann", mail="ann@a.org,ann@b.org"))
        tx.put(PersonWas(name="Bob"))

    await nodes[0].store.transact(fill)
    for at, name in enumerate("abc"):
        nodes[at] = await members.reopen(name, schema=second, bind=nodes[at].address)
        if name != "c":
            await written(nodes[at], put, Person(name=f"During {name}"))
            await nodes[at].store.barrier()
            assert get(nodes[at], Person, "Ann") is not None, "it is too early"
    await until(lambda: all(get(node, Person, "ann") is not None for node in nodes))
    for node in nodes:
        check(node)
        assert [get(node, Person, f"during {name}").name for name in "ab"]
    await nodes[2].close()
    with pytest.raises(SchemaTooNew, match="schema 2, this program knows 1: start the newer"):
        await members.open("c", schema=first)
    with pytest.raises(NotJoined, match=r"schema 2, d .* at 1: run the same version"):
        await members.join("d", nodes[0], schema=first)
