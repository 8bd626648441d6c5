"""Every table of HexHub: the records, and what keys them.

Add a field with a default; never change the meaning or the type of one that exists.
Times are aware UTC datetimes, checksums raw 32 bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, dataclass_transform

import msgspec

from cluster import Record, Schema

schema = Schema(number=1)

PUBLIC = "hexpm"
"""The name of the public repository. Every other repository is an organization's."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of a record."""


class Email(Value, kw_only=True):
    address: str
    verified: bool = False
    primary: bool = False
    public: bool = False


@schema.table("users", key=("username",), indexes={"email": ("verified_addresses",)})
class User(Record, kw_only=True):
    """A person's account. `password_hash` is an argon2id PHC string, None for no password."""

    username: str
    emails: tuple[Email, ...] = ()
    password_hash: str | None = None
    full_name: str | None = None
    handles: dict[str, str] = msgspec.field(default_factory=dict)
    admin: bool = False
    disabled: bool = False
    muted: tuple[str, ...] = ()
    """Templates of mails that this person does not want."""
    created_at: datetime
    updated_at: datetime

    @property
    def verified_addresses(self) -> tuple[str, ...]:
        return tuple(email.address for email in self.emails if email.verified)

    @property
    def primary(self) -> Email | None:
        return next((email for email in self.emails if email.primary), None)

    @property
    def public_address(self) -> str | None:
        return next((email.address for email in self.emails if email.public), None)

    @property
    def verified(self) -> bool:
        return self.primary is not None and self.primary.verified


@schema.table("organizations", key=("name",))
class Organization(Record, kw_only=True):
    """People who share a private repository of the same name. `seats` bounds how many."""

    name: str
    seats: int | None = None
    created_at: datetime
    updated_at: datetime


@schema.table(
    "members", key=("organization", "username"), indexes={"user": ("username", "organization")}
)
class Member(Record, kw_only=True):
    """A user's role in an organization: `read`, `write` or `admin`."""

    organization: str
    username: str
    role: str


class Permission(Value, kw_only=True):
    """What a key may do (http-api.md §2.6)."""

    domain: str
    resource: str | None = None


@schema.table("keys", key=("lookup",), indexes={"owner": ("owner", "name")})
class Key(Record, kw_only=True):
    """An API key. Of its secret only a keyed hash is kept, split into lookup and verifier.

    `owner` is `user:NAME` or `org:NAME`.
    """

    lookup: str
    verifier: str
    owner: str
    name: str
    permissions: tuple[Permission, ...]
    revoke_at: datetime | None = None
    created_at: datetime
    updated_at: datetime

    def revoked(self, now: datetime) -> bool:
        """Whether it has ended. One that was ended by somebody is so for every clock, behind or not."""
        end = self.revoke_at
        return end is not None and (end <= now or end <= self.updated_at)


@schema.table("key_uses", key=("lookup",))
class KeyUse(Record, kw_only=True):
    """When and from where a key was last used. Apart from the key, so that use never conflicts."""

    lookup: str
    used_at: datetime
    ip: str
    user_agent: str


@schema.table("links", key=("token_hash",), indexes={"user": ("username", "purpose", "token_hash")})
class Link(Record, kw_only=True):
    """A one-time link for a person; `username` is whom it is for.

    `purpose` is `password` (set one), `email` (verify `address`) or `two_factor` (the second half
    of a sign-in).
    """

    token_hash: str
    purpose: str
    username: str
    address: str | None = None
    expires_at: datetime


@schema.table("sessions", key=("id",), indexes={"owner": ("owner", "id")})
class Session(Record, kw_only=True):
    """A sign-in of a browser (`browser`) or of a client by OAuth (`oauth`) (http-api.md §2.4).

    `owner` is `user:NAME`. Of a browser's cookie only a keyed hash is kept, split into id and
    verifier. `confirmed_at` is when the password was last given.
    """

    id: str
    owner: str
    kind: str
    verifier: str = ""
    name: str | None = None
    client: str | None = None
    ip: str = ""
    user_agent: str = ""
    created_at: datetime
    confirmed_at: datetime
    expires_at: datetime


@schema.table("session_uses", key=("session",))
class SessionUse(Record, kw_only=True):
    """When and from where a session was last used. Apart, so that use never conflicts."""

    session: str
    used_at: datetime
    ip: str
    user_agent: str


@schema.table(
    "tokens",
    key=("jti",),
    indexes={
        "owner": ("owner", "jti"),
        "session": ("session", "jti"),
        "refresh": ("refresh_jti",),
        "refresh_hash": ("refresh_hash",),
    },
)
class Token(Record, kw_only=True):
    """An access token and, where there is one, the refresh token that came with it.

    `granted` is what was agreed to, `scopes` what that came to when the token was made.
    `key` is the lookup of the API key that was exchanged for it, and ends the token with itself.
    """

    jti: str
    owner: str
    client: str
    granted: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    session: str | None = None
    key: str | None = None
    refresh_jti: str | None = None
    refresh_hash: str | None = None
    created_at: datetime
    expires_at: datetime
    refresh_until: datetime | None = None
    revoked_at: datetime | None = None


@schema.table(
    "device_codes",
    key=("code_hash",),
    indexes={"user_code": ("user_code",), "owner": ("owner", "code_hash")},
)
class DeviceCode(Record, kw_only=True):
    """A client that waits for a person to let it in. `state`: `pending`, `approved`, `denied`.

    `nonce` is what the device code is derived from.
    """

    code_hash: str
    nonce: str
    user_code: str
    client: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    state: str = "pending"
    owner: str | None = None
    session: str | None = None
    granted: tuple[str, ...] = ()
    token: str | None = None
    created_at: datetime
    expires_at: datetime


@schema.table("authorization_codes", key=("code_hash",), indexes={"owner": ("owner", "code_hash")})
class AuthorizationCode(Record, kw_only=True):
    """What a web application exchanges for tokens, once (PKCE, RFC 7636)."""

    code_hash: str
    client: str
    owner: str
    granted: tuple[str, ...]
    redirect_uri: str
    challenge: str
    used: bool = False
    created_at: datetime
    expires_at: datetime


@schema.table("oauth_clients", key=("client_id",))
class OauthClient(Record, kw_only=True):
    """A program that asks people for access (http-api.md §3.13). `secret_hash`: confidential."""

    client_id: str
    name: str
    secret_hash: str | None = None
    grants: tuple[str, ...] = ()
    redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@schema.table("two_factors", key=("username",))
class TwoFactor(Record, kw_only=True):
    """A user's second factor: the wrapped TOTP secret, and hashes of unused recovery codes.

    It counts once `confirmed`.
    """

    username: str
    secret: bytes
    recovery_hashes: tuple[str, ...] = ()
    confirmed: bool = False
    created_at: datetime


@schema.table("former_users", key=("username",))
class FormerUser(Record, kw_only=True):
    """The name of a deleted account, which nobody else may take (http-api.md §3.2)."""

    username: str
    deleted_at: datetime


class PackageMeta(Value, kw_only=True):
    description: str | None = None
    licenses: tuple[str, ...] = ()
    links: dict[str, str] = msgspec.field(default_factory=dict)
    maintainers: tuple[str, ...] = ()
    extra: dict[str, Any] = msgspec.field(default_factory=dict)


@schema.table(
    "packages",
    key=("repository", "name"),
    indexes={"name": ("name",), "clash": ("clashing",)},
)
class Package(Record, kw_only=True):
    """`clash` is what is known of the name at the upstream: `none`, `unchecked`, `exists`."""

    repository: str
    name: str
    clash: str = "none"
    meta: PackageMeta = msgspec.field(default_factory=PackageMeta)
    created_at: datetime
    updated_at: datetime

    @property
    def clashing(self) -> str | None:
        """The clash, for an index of those few that have one."""
        return None if self.clash == "none" else self.clash


class Requirement(Value, kw_only=True):
    """A dependency of a release, and the versions it accepts."""

    repository: str
    package: str
    app: str
    requirement: str
    optional: bool = False


class Retirement(Value, kw_only=True):
    """Why a release should no longer be used. It can still be fetched."""

    reason: str
    message: str | None = None


@schema.table(
    "releases", key=("repository", "package", "version"), indexes={"requires": ("required",)}
)
class Release(Record, kw_only=True):
    """One published version of a package. `outer_checksum` names its tarball in storage."""

    repository: str
    package: str
    version: str
    inner_checksum: bytes
    outer_checksum: bytes
    size: int
    app: str
    build_tools: tuple[str, ...]
    elixir: str | None = None
    requirements: tuple[Requirement, ...] = ()
    retirement: Retirement | None = None
    docs_checksum: bytes | None = None
    publisher: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def has_docs(self) -> bool:
        return self.docs_checksum is not None

    @property
    def required(self) -> tuple[str, ...]:
        """`repository/package` of each requirement, to find dependants."""
        return tuple(f"{r.repository}/{r.package}" for r in self.requirements)


@schema.table(
    "owners",
    key=("repository", "package", "username"),
    indexes={"user": ("username", "repository", "package")},
)
class Owner(Record, kw_only=True):
    """Who may publish a package; `username` may be an organization's name.

    `level` is `full` or `maintainer`.
    """

    repository: str
    package: str
    username: str
    level: str = "full"


@schema.table("downloads", key=("repository", "package", "version", "day"))
class Downloads(Record, kw_only=True):
    """How often a release was fetched on one day (`YYYY-MM-DD`, UTC)."""

    repository: str
    package: str
    version: str
    day: str
    count: int


@schema.table(
    "audit",
    key=("moment", "by", "n"),
    indexes={
        "user": ("user",),
        "organization": ("organization",),
        "package": ("package",),
        "waiting": ("unsealed",),
        "chain": ("link",),
    },
)
class AuditRecord(Record, kw_only=True):
    """A change: who (`by`, `key`), from where, what. Never changed once it is sealed.

    `key` is the name of a key, or `oauth:CLIENT`; None for a password, a page or the operator.
    `moment` is ISO 8601 with microseconds, `n` counts what one actor did in it. `place`, `previous`
    and `hash` are its link of the chain; None until the sealer gave it one (domain/audit.py).
    """

    moment: str
    by: str
    n: str
    action: str
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    user: str | None = None
    organization: str | None = None
    package: str | None = None
    key: str | None = None
    ip: str = ""
    user_agent: str = ""
    place: int | None = None
    previous: bytes | None = None
    hash: bytes | None = None

    @property
    def unsealed(self) -> str | None:
        return "yes" if self.place is None else None

    @property
    def link(self) -> str | None:
        return None if self.place is None else f"{self.place:012d}"


@schema.table("mails", key=("moment", "to", "n"), indexes={"due": ("due",)})
class Mail(Record, kw_only=True):
    """A mail that waits, was sent (`sent_at`), or was given up (`error`).

    `due` is the moment of the next try, in ISO 8601; None when there will be none.
    """

    moment: str
    to: str
    n: str
    template: str
    values: dict[str, str] = msgspec.field(default_factory=dict)
    due: str | None = None
    attempts: int = 0
    sent_at: datetime | None = None
    error: str | None = None


@schema.table("networks", key=("network",))
class KnownNetwork(Record, kw_only=True):
    """A network that the operator treats apart; `rule` is `blocked` or `unlimited`."""

    network: str
    rule: str
    reason: str = ""
    created_at: datetime


class AdvisoryRange(Value, kw_only=True):
    """Versions from `introduced` (None: the first) to before `fixed`, or up to `last`."""

    introduced: str | None = None
    fixed: str | None = None
    last: str | None = None


class AffectedPackage(Value, kw_only=True):
    repository: str
    package: str
    ranges: tuple[AdvisoryRange, ...] = ()
    versions: tuple[str, ...] = ()


class Reference(Value, kw_only=True):
    type: str
    url: str


@schema.table("advisories", key=("id",), indexes={"package": ("packages",)})
class Advisory(Record, kw_only=True):
    """A security advisory, as an OSV export has it."""

    id: str
    summary: str
    aliases: tuple[str, ...] = ()
    published_at: datetime
    modified_at: datetime
    withdrawn_at: datetime | None = None
    cvss_vector: str | None = None
    cvss_score: float | None = None
    cvss_rating: str | None = None
    references: tuple[Reference, ...] = ()
    affected: tuple[AffectedPackage, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        return tuple(f"{one.repository}/{one.package}" for one in self.affected)


class PolicyOverride(Value, kw_only=True):
    """An exception of a policy; `action` is a word of registry.md §3."""

    action: str
    package: str
    requirement: str | None = None


class PolicyRules(Value, kw_only=True):
    """What a policy says about one repository."""

    repository: str
    advisory_min_severity: str | None = None
    retirement_reasons: tuple[str, ...] = ()
    cooldown: str | None = None
    overrides: tuple[PolicyOverride, ...] = ()


@schema.table("policies", key=("organization", "name"))
class Policy(Record, kw_only=True):
    """A signed dependency policy of an organization; `visibility` is `private` or `public`."""

    organization: str
    name: str
    description: str | None = None
    visibility: str = "private"
    rules: tuple[PolicyRules, ...] = ()
    created_at: datetime
    updated_at: datetime


@schema.table("quotas", key=("repository",))
class Quota(Record, kw_only=True):
    """What a repository may hold at most (None: no bound), and what it holds of that."""

    repository: str
    bytes: int | None = None
    packages: int | None = None
    used_bytes: int = 0
    used_packages: int = 0
    updated_at: datetime


@schema.table("removed", key=("repository", "package", "version"))
class Removed(Record, kw_only=True):
    """What an administrator took away; nobody may publish it again. `version` is empty for all."""

    repository: str
    package: str
    version: str = ""
    reason: str = ""
    objects: tuple[bytes, ...] = ()
    """Checksums of what has to be erased on every node."""
    removed_at: datetime


@schema.table("short_urls", key=("code",), indexes={"digest": ("digest",)})
class ShortUrl(Record, kw_only=True):
    """A short code for an address; `digest` is its SHA-256 in hex."""

    code: str
    url: str
    digest: str
    created_at: datetime


@schema.table("settings", key=("name",))
class Setting(Record, kw_only=True):
    """A value of the whole hub, such as the encrypted signing key."""

    name: str
    value: bytes


@schema.table("kept", key=("path",))
class Kept(Record, kw_only=True):
    """A verified copy of a file of an upstream; `checksum` names its bytes in storage.

    `path` is the path at the upstream below its repository, or `installs/...` and `api/...`.
    `fetched_at` is when these bytes came.
    """

    path: str
    checksum: bytes
    size: int
    upstream: str
    etag: str | None = None
    fetched_at: datetime


@schema.table("kept_uses", key=("path",))
class KeptUse(Record, kw_only=True):
    """When a kept copy was last asked for, to the hour. Apart from it, as in `key_uses`."""

    path: str
    used_at: datetime


@schema.table("rules", key=("repository", "id"))
class Rule(Record, kw_only=True):
    """What the mirror holds back. `kind`: `allow`, `deny`, `cooldown`, `retired`, `advisory`.

    `pattern` is a package's name with `*` for any characters, `requirement` narrows it to versions,
    `value` is the age in seconds of a cooldown or the least severity of an advisory.
    """

    repository: str
    id: str
    kind: str
    pattern: str = "*"
    requirement: str | None = None
    value: str | None = None
    created_at: datetime


@schema.table("jobs", key=("id",))
class Job(Record, kw_only=True):
    """Work that an administrator began on a node; `id` begins with its time, so rows are in order.

    `state`: `running`, `done`, `failed`, `stopped`. `done` of `total` (None: not known) are counted
    in `unit`, `bytes` or a noun; `said` is what came of it in words, `notes` lines on the way.
    `seen_at` is when the node last wrote this, `stop` that somebody asked for an end.
    """

    id: str
    kind: str
    about: str = ""
    node: str
    by: str = ""
    state: str = "running"
    done: int = 0
    total: int | None = None
    failed: int = 0
    unit: str = ""
    notes: tuple[str, ...] = ()
    said: str = ""
    stop: bool = False
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None


@schema.table("reserved_names", key=("pattern",))
class ReservedName(Record, kw_only=True):
    """Names, by a pattern with `*`, that are never asked of the upstream."""

    pattern: str
    created_at: datetime


@schema.table("allowed_names", key=("name", "repository"))
class AllowedName(Record, kw_only=True):
    """The operator's word about a name that is both here and at the upstream.

    `wins` is the side that the public addresses serve: `own` or `upstream`.
    """

    name: str
    repository: str
    wins: str = "own"
    created_at: datetime
