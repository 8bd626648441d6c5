"""Access and refresh tokens: JWTs signed ES256 (http-api.md §2.4). Clients take them as opaque."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from hexhub.errors import Malformed
from hexhub.formats import sealed

ISSUER = "hexpm"
AUDIENCE = "hexpm:api"
ALGORITHM = "ES256"
PURPOSE = "access tokens"
EARLIER = timedelta(seconds=30)
"""How long before it was made a token counts, for clocks that differ."""
LENGTH_MAX = 4096
"""Characters; see `scopes_said` for what keeps ours below."""
SCOPES_LENGTH_MAX = 2000
"""Characters. The row of a token has all of its scopes, so the claim may leave them out."""

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the group of P-256 (FIPS 186-4, D.1.2.3)."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whom it is for (`user:NAME`, `org:NAME`), its id, its end."""

    subject: str
    jti: str
    scopes: tuple[str, ...]
    expires_at: datetime


class TokenKey:
    """The key that signs and checks tokens; the same on every node with the same root secret."""

    def __init__(self, root: bytes) -> None:
        # 256 derived bits and 64 more make the bias of the remainder negligible.
        wide = sealed.derive(root, PURPOSE) + sealed.derive(root, f"{PURPOSE}, more")[:8]
        number = int.from_bytes(wide) % (_ORDER - 1) + 1
        pem = ec.derive_private_key(number, ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        self._key = ECKey.import_key(pem)

    def sign(self, claims: Claims, now: datetime) -> str:
        """A token with these claims, made now."""
        return jwt.encode(
            {"alg": ALGORITHM, "typ": "JWT"},
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": claims.subject,
                "jti": claims.jti,
                "iat": int(now.timestamp()),
                "nbf": int((now - EARLIER).timestamp()),
                "exp": math.ceil(claims.expires_at.timestamp()),
                "scope": scopes_said(claims.scopes),
            },
            self._key,
        )

    def read(self, token: str, now: datetime | None) -> Claims:
        """The claims of a token of ours. Raises Malformed for any other.

        Without `now` one that has expired is read too, to be revoked or told so.
        """
        if len(token) > LENGTH_MAX:
            raise Malformed("access token: too long")
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise Malformed("access token: not signed by this hub") from error
        return _checked(claims, now)


def scopes_said(scopes: tuple[str, ...]) -> str:
    """The `scope` claim: empty where a member of very many organizations has too many."""
    text = " ".join(scopes)
    return text if len(text) <= SCOPES_LENGTH_MAX else ""


def _checked(claims: dict[str, object], now: datetime | None) -> Claims:
    subject, jti, scope = claims.get("sub"), claims.get("jti"), claims.get("scope")
    expires, begins = claims.get("exp"), claims.get("nbf")
    if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
        raise Malformed("access token: made by or for another")
    if not (isinstance(subject, str) and isinstance(jti, str) and isinstance(scope, str)):
        raise Malformed("access token: claims are missing")
    if type(expires) is not int or type(begins) is not int:
        raise Malformed("access token: times are missing")
    if now is not None and not begins <= now.timestamp() < expires:
        raise Malformed("access token: not valid now")
    try:
        moment = datetime.fromtimestamp(expires, UTC)
    except (ValueError, OverflowError, OSError):
        raise Malformed("access token: times are out of range") from None
    return Claims(subject, jti, tuple(scope.split()), moment)
