"""Hub: what a handler may use. Built once, in `app.py`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hexhub.attempts import Attempts
from hexhub.backup.schedule import Schedule
from hexhub.backup.write import Source
from hexhub.counters import Counters
from hexhub.domain.tokens import Mint
from hexhub.formats import sealed
from hexhub.formats.access_token import TokenKey
from hexhub.jobs import Jobs
from hexhub.limits import Limits
from hexhub.mail import Sender
from hexhub.passwords import Passwords
from hexhub.patience import Patience
from hexhub.peer_clocks import PeerClocks
from hexhub.rendering import Rendering
from hexhub.repositories.adjusted import Adjusted
from hexhub.repositories.first_of import Shelf
from hexhub.repositories.held_back import HeldBack
from hexhub.repositories.mirror import Mirror
from hexhub.repositories.own import Own
from hexhub.repositories.pictures import Pictures
from hexhub.repositories.topics import Memo, Topics
from hexhub.search import Catalogue, DocsSearch
from hexhub.storage import Storage
from hexhub.storage.memory import SmallBlobs
from hexhub.storage.spool import Spool
from hexhub.unpacked import Unpacked

if TYPE_CHECKING:
    from cluster import Node, Store
    from cluster.discovery import Peer


def utc_now() -> datetime:
    """The clock of a node."""
    return datetime.now(UTC)  # noqa: TID251 - this is hub.now


@dataclass(kw_only=True)
class Openness:
    """What is allowed to whom; may change while the node runs."""

    anonymous_read: str = "true"
    registration_open: bool = False
    basic_auth: bool = True
    require_two_factor: bool = False
    """Whether everyone who changes something by the API must have a second factor."""
    confirm_addresses: bool = False
    """Whether a new address has to be verified; only where mail can be sent."""
    dependency_check: str = "upstream"

    def take(self, other: Openness) -> None:
        """Become as the other."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Names of settings that changed and hold now, and of those that wait for a restart."""

    changed: list[str]
    needs_restart: list[str]


@dataclass(frozen=True, kw_only=True)
class Hub:
    """One node, as handlers see it. `url` is the public base, without a slash at the end."""

    node: Node
    store: Store
    storage: Storage
    spool: Spool
    own: Own
    held_back: HeldBack
    """Packages of organizations, less what rules of their repositories hold back."""
    topics: Topics
    package_objects: Memo[Any]
    """Packages as the API shows them, encoded."""
    mirror: Mirror | None = None
    """None: there is no upstream."""
    shelf: Shelf | None = None
    """Our packages and the upstream's on one shelf; there when `mirror` is."""
    adjusted: Adjusted | None = None
    """Settings of the mirror that hold on all nodes; there when `mirror` is."""
    jobs: Jobs
    backups: Schedule | None = None
    """None: BACKUP_DIR is not set."""
    passwords: Passwords
    counters: Counters
    clocks: PeerClocks | None = None
    """None: there is no way to other members."""
    sender: Sender
    limits: Limits
    small_blobs: SmallBlobs
    unpacked: Unpacked
    rendering: Rendering
    pictures: Pictures
    """Of other hosts, in READMEs."""
    catalogue: Catalogue
    docs_search: DocsSearch
    unpacking: ThreadPoolExecutor
    """Threads for work on whole archives; few, so that memory and processors stay bounded."""
    attempts: Attempts
    patience: Patience
    token_key: TokenKey
    sealing_key: bytes
    """The root under which secrets of second factors are wrapped."""
    hashing_key: bytes
    root: bytes = field(repr=False)
    """The root secret, for backups and for putting what is kept under another one."""
    public_key_pem: bytes
    fingerprint: str
    url: str
    docs_host: str | None = None
    """Host of its own for documentation, perhaps with a port."""
    openness: Openness = field(default_factory=Openness)
    test_mode: bool = False
    first_run_token: str | None = None
    first_run_until: datetime | None = None
    now: Callable[[], datetime] = field(default=utc_now)
    find_peer: Callable[[str], Awaitable[Peer]]
    """Where `name@host[:port]` listens for members. Raises errors.Invalid."""
    reopen: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when this node's tables are others now: everything above them is then built anew."""

    reload: Callable[[], Awaitable[Reloaded]] | None = None
    """Read the settings again. Raises errors.Refused; None: this hub was not started with any."""

    @property
    def anonymous_read(self) -> str:
        """`true`, `mirror` or `false`."""
        return self.openness.anonymous_read

    @property
    def registration_open(self) -> bool:
        return self.openness.registration_open

    @property
    def basic_auth(self) -> bool:
        return self.openness.basic_auth

    @property
    def require_two_factor(self) -> bool:
        return self.openness.require_two_factor

    @property
    def confirm_addresses(self) -> bool:
        return self.openness.confirm_addresses

    @property
    def dependency_check(self) -> str:
        """`own`, `upstream` or `off`."""
        return self.openness.dependency_check

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    def backup_source(self) -> Source:
        """What a backup of this hub is made from."""
        return Source(
            node=self.node,
            storage=self.storage,
            root=self.root,
            fingerprint=self.fingerprint,
            now=self.now,
        )

    def secret_hash(self, secret: str) -> str:
        """How a key's secret, or a link's token, is known in the tables."""
        return sealed.keyed_hash(self.hashing_key, secret)

    def new_secret(self) -> str:
        """A new API key: 16 random bytes as 32 hex digits (http-api.md §2.2)."""
        return secrets.token_hex(16)

    def new_mint(self) -> Mint:
        """What a pair of tokens is made with."""
        return Mint(self.token_key, secrets.token_urlsafe(16), secrets.token_urlsafe(16))

    def new_token(self) -> str:
        """A new token for a link."""
        return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class ClientLine:
    """A line to paste, and what it is for. KEY, ORG and the PEM stay words: no secret is shown."""

    text: str
    purpose: str = ""

    def __str__(self) -> str:
        return f"{self.text}     # {self.purpose}" if self.purpose else self.text


def client_lines(hub: Hub) -> tuple[ClientLine, ...]:
    """What sets clients up for this hub, with its real address and fingerprint."""
    url = hub.url
    return (
        ClientLine(
            f"mix hex.repo add hub {url} --fetch-public-key {hub.fingerprint} --auth-key KEY",
            'every organization, as repo: "hub:ORG" '
            '("hub" alone cannot work: the payload\'s name is not hub)',
        ),
        ClientLine(
            f"curl -fsSo hub.pem {url}/public_key && "
            f"mix hex.repo set hexpm --url {url}/repo --public-key hub.pem",
            "the public repository, no repo: needed",
        ),
        ClientLine(
            f"HEX_API_URL={url}/api HEX_API_KEY=KEY mix hex.publish [--organization ORG] --yes"
        ),
        ClientLine(
            f'{{hex, [{{repos, [#{{name => <<"ORG">>, repo_url => <<"{url}/repos/ORG">>, '
            'repo_public_key => <<"…">>, repo_key => <<"KEY">>}]}]}.'
        ),
        *(_mirror_lines(url) if hub.mirror is not None else ()),
    )


def _mirror_lines(url: str) -> tuple[ClientLine, ...]:
    return (
        ClientLine(
            f"HEX_MIRROR={url} mix deps.get",
            "hex.pm's packages through this hub, as hex.pm signed them; local.hex and local.rebar too",
        ),
        ClientLine(f"HEX_CDN={url} rebar3 get-deps", "the same with rebar3"),
    )
