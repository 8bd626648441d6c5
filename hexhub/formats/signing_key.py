"""RSA keys that sign and verify registry resources: PEM in, PEM out, fingerprint (registry.md §6)."""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hexhub.errors import Malformed

BITS_MIN = 2048
BITS_MAX = 4096  # of a key of our own
PUBLIC_BITS_MAX = 8192  # of someone else's: what the widest client accepts (registry.md §2)
EXPONENT_MAX = 2**33  # a giant exponent would make each verification slow
PEM_SIZE_MAX = 65_536  # bytes


def load_private_key(pem: bytes) -> RSAPrivateKey:
    """The RSA key of a PKCS#1 or PKCS#8 PEM without a password. Raises Malformed."""
    _bounded(pem)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise Malformed("signing key: the PEM is encrypted; give it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("signing key: not a PEM of a private key") from None
    if not isinstance(key, RSAPrivateKey):
        raise Malformed("signing key: not an RSA key")
    if not BITS_MIN <= key.key_size <= BITS_MAX:
        raise Malformed(f"signing key: {key.key_size} bits, must be {BITS_MIN} to {BITS_MAX}")
    return key


def load_public_key(pem: bytes) -> RSAPublicKey:
    """The RSA key of an SPKI or PKCS#1 PEM. Raises Malformed."""
    _bounded(pem)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise Malformed("public key: not a PEM of a public key") from None
    if not isinstance(key, RSAPublicKey):
        raise Malformed("public key: not an RSA key")
    if not BITS_MIN <= key.key_size <= PUBLIC_BITS_MAX:
        raise Malformed(f"public key: {key.key_size} bits, must be {BITS_MIN} to {PUBLIC_BITS_MAX}")
    if key.public_numbers().e > EXPONENT_MAX:
        raise Malformed("public key: the exponent is too large")
    return key


def private_key_pem(key: RSAPrivateKey) -> bytes:
    """PKCS#8 PEM without a password, one trailing newline."""
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.rstrip(b"\n") + b"\n"


def public_key_pem(key: RSAPrivateKey | RSAPublicKey) -> bytes:
    """SPKI PEM, the one form that every client reads, with one trailing newline."""
    pem = _public(key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.rstrip(b"\n") + b"\n"


def fingerprint(key: RSAPrivateKey | RSAPublicKey) -> str:
    """`SHA256:` and unpadded base64, as `mix hex.repo add --fetch-public-key` and `ssh-keygen -l` show it."""
    numbers = _public(key).public_numbers()
    wire = _field(b"ssh-rsa") + _field(_mpint(numbers.e)) + _field(_mpint(numbers.n))
    digest = base64.b64encode(hashlib.sha256(wire).digest()).rstrip(b"=")
    return "SHA256:" + digest.decode("ascii")


def _bounded(pem: bytes) -> None:
    if len(pem) > PEM_SIZE_MAX:
        raise Malformed("key: the PEM is too big")


def _public(key: RSAPrivateKey | RSAPublicKey) -> RSAPublicKey:
    return key.public_key() if isinstance(key, RSAPrivateKey) else key


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _mpint(number: int) -> bytes:
    # A leading zero byte keeps the top bit free: the number is not negative.
    return number.to_bytes(number.bit_length() // 8 + 1, "big")
