"""What a start of this program would do to the data of a stopped member. Nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster import boot
from cluster.configuration import name_of
from cluster.disk import Log, read_state
from cluster.journal import FORMAT, Journal
from cluster.migrate import refuse_newer, steps
from cluster.table import Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`format` and `schema` are those of the data, `knows_…` those of this program.

    `migrations` are the schema numbers to be migrated to, `indexed` the tables whose indexes
    changed. With either, a snapshot of at most `bytes` is taken first.
    """

    format: int
    knows_format: int
    schema: int
    knows_schema: int
    applied: int
    bytes: int
    members: tuple[str, ...]
    migrations: tuple[int, ...]
    indexed: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether rows would be brought to another schema."""
        return bool(self.schema != self.knows_schema or self.indexed)


def plan(directory: Path, schema: Schema) -> Plan | None:
    """What a start would do to this directory; None where there is no data.

    The directory is locked by the caller. SchemaTooNew when a start would be refused for newer
    data, Damaged.
    """
    if not (directory / boot.RAFT).exists():
        return None
    journal = Journal(Log(directory / boot.RAFT, map_size=1 << 20))
    try:
        identity = journal.identity
        members = journal.members_at(journal.last_index)
    finally:
        journal.close()
    found = read_state(directory / boot.STATE)
    refuse_newer(found.schema, schema)
    migrations, indexed = steps(found.schema, found.shape, schema)
    return Plan(
        format=identity.format,
        knows_format=FORMAT,
        schema=found.schema,
        knows_schema=schema.number,
        applied=found.applied,
        bytes=found.bytes,
        members=tuple(sorted(map(name_of, members))),
        migrations=migrations,
        indexed=indexed,
    )
