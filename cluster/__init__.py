"""Tables replicated through a log: declare records, read them anywhere, write them in transactions."""

from cluster.errors import (
    ClusterError,
    Conflict,
    Damaged,
    DataInUse,
    DiskFailed,
    DiskFull,
    DiskReadOnly,
    KeyInvalid,
    LinkRefused,
    NoLeader,
    NoQuorum,
    NotJoined,
    OutcomeUnknown,
    Overloaded,
    SchemaTooNew,
    TooLarge,
)
from cluster.node import Node
from cluster.offline import members_on_disk, plan, recover, restore
from cluster.plan import Plan
from cluster.settings import NodeSettings
from cluster.status import Figures, Member, Status
from cluster.store import Change, Store
from cluster.table import Record, Schema
from cluster.view import Transaction, View

__all__ = [
    "Change",
    "ClusterError",
    "Conflict",
    "Damaged",
    "DataInUse",
    "DiskFailed",
    "DiskFull",
    "DiskReadOnly",
    "Figures",
    "KeyInvalid",
    "LinkRefused",
    "Member",
    "NoLeader",
    "NoQuorum",
    "Node",
    "NodeSettings",
    "NotJoined",
    "OutcomeUnknown",
    "Overloaded",
    "Plan",
    "Record",
    "Schema",
    "SchemaTooNew",
    "Status",
    "Store",
    "TooLarge",
    "Transaction",
    "View",
    "members_on_disk",
    "plan",
    "recover",
    "restore",
]
