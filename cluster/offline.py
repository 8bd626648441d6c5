"""What can be asked of a data directory whose member does not run."""

from __future__ import annotations

from pathlib import Path

from cluster import boot
from cluster.lock import taken
from cluster.plan import Plan, plan as foresee
from cluster.table import Schema


def restore(directory: Path, snapshot: Path, *, name: str) -> int:
    """Make `directory` (missing or empty) a new cluster of one from a snapshot's folder.

    Offline. Returns the index it stands at; raises Damaged or DataInUse.
    """
    return boot.restore(directory, snapshot, name)


def members_on_disk(directory: Path) -> tuple[str, ...]:
    """The names of the members by a stopped member's own log, itself among them.

    Raises Damaged or DataInUse.
    """
    with taken(directory):
        return boot.members(directory)


def plan(directory: Path, schema: Schema) -> Plan | None:
    """What a start would do to the data of a stopped member; None where there is none.

    Nothing is changed. SchemaTooNew when a start would be refused, Damaged, DataInUse.
    """
    if not directory.is_dir():
        return None
    with taken(directory):
        return foresee(directory, schema)


def recover(directory: Path, *, name: str) -> tuple[int, int]:
    """Make the data of a stopped member a new cluster of one; the index and term it keeps.

    Offline, for when a majority is gone for good: what was acknowledged only elsewhere is lost,
    and old members that return are refused. Raises Damaged or DataInUse.
    """
    with taken(directory):
        return boot.recover(directory, name)
