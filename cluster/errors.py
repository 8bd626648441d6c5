"""What can go wrong in a cluster, by name."""


class ClusterError(Exception):
    """Base of every error this package raises on purpose."""


class NoLeader(ClusterError):
    """No member leads right now. The write was not applied; the caller may try again."""


class NoQuorum(ClusterError):
    """Too few members answer. The write was not applied; the caller may try again."""


class Conflict(ClusterError):
    """Other transactions changed what this one had read, too many times in a row."""


class Overloaded(ClusterError):
    """The queue of waiting writes is full. The write was not applied."""


class OutcomeUnknown(ClusterError):
    """The deadline passed after the write was proposed: it may or may not be applied."""


class TooLarge(ClusterError):
    """One transaction reads and writes more than one log entry may hold."""


class DiskFull(ClusterError):
    """Too little room is left on the disk of the data directory. Nothing was written."""


class DiskFailed(ClusterError):
    """The disk refused a write for another reason than room."""


class DiskReadOnly(DiskFailed):
    """The file system of the data directory takes no writes any more. Nothing was written."""


class SchemaTooNew(ClusterError):
    """The data was written by a newer version of the program than this one."""


class DataInUse(ClusterError):
    """Another process has the data directory, or it is not empty where it has to be."""


class Damaged(ClusterError):
    """Journal, state or snapshot is not what it was when it was written: not to be started on."""


class LinkRefused(ClusterError):
    """The other end of a connection is not one to talk to, or does not want to talk to us."""

    def __init__(self, why: str, *, removed: bool = False) -> None:
        super().__init__(why)
        self.removed = removed


class NotJoined(ClusterError):
    """Joining, leaving or forming was refused; the words say why. Nothing was changed."""


class KeyInvalid(ClusterError):
    """A key that no row can have: a NUL or a lone surrogate in a part, or too many bytes."""
