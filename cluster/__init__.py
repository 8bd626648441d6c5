"""Tables replicated through a log: declare records, read them anywhere, write them in transactions."""

from cluster.errors import (
    ClusterError,
    Conflict,
    Damaged,
    DataInUse,
    DiskFailed,
    DiskFull,
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
from cluster.node import (
    Figures,
    Member,
    Node,
    NodeSettings,
    Status,
    members_on_disk,
    recover,
    restore,
)
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
    "Record",
    "Schema",
    "SchemaTooNew",
    "Status",
    "Store",
    "TooLarge",
    "Transaction",
    "View",
    "members_on_disk",
    "recover",
    "restore",
]
