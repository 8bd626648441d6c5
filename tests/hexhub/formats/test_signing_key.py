"""Signing keys: both PEM forms, the bounds, and the fingerprint that clients compare."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings, strategies as st

from hexhub.errors import Malformed
from hexhub.formats.signing_key import (
    PEM_SIZE_MAX,
    fingerprint,
    load_private_key,
    load_public_key,
    private_key_pem,
    public_key_pem,
)
from tests.hexhub.formats.golden import load, read

PKCS1 = read("registry/private_key.pem")
PKCS8 = read("registry/private_key_pkcs8.pem")


def test_both_pem_forms_give_the_same_key() -> None:
    assert load_private_key(PKCS1).private_numbers() == load_private_key(PKCS8).private_numbers()


@pytest.mark.parametrize("name", ["public_key_spki.pem", "public_key_pkcs1.pem"])
def test_the_fingerprint_is_the_one_that_hex_prints(name: str) -> None:
    expected = load("keys.json")["fingerprint"]
    assert fingerprint(load_public_key(read(f"registry/{name}"))) == expected
    assert fingerprint(load_private_key(PKCS1)) == expected


def test_the_public_key_is_served_as_spki_with_one_newline() -> None:
    pem = public_key_pem(load_private_key(PKCS1))
    assert pem.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert pem.endswith(b"-----END PUBLIC KEY-----\n")
    assert pem.strip() == read("registry/public_key_spki.pem").strip()
    assert public_key_pem(load_public_key(pem)) == pem


def test_a_private_key_survives_its_pem() -> None:
    pem = private_key_pem(load_private_key(PKCS1))
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert load_private_key(pem).private_numbers() == load_private_key(PKCS1).private_numbers()


def test_a_short_rsa_key_is_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(Malformed, match="1024 bits"):
        load_private_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(Malformed, match="1024 bits"):
        load_public_key(public)


def test_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Malformed, match="not an RSA key"):
        load_private_key(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(Malformed, match="not an RSA key"):
        load_public_key(public)


def test_an_encrypted_key_is_refused_with_a_hint() -> None:
    pem = load_private_key(PKCS1).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    with pytest.raises(Malformed, match="without a password"):
        load_private_key(pem)


def test_a_public_key_is_no_private_key() -> None:
    with pytest.raises(Malformed, match="not a PEM of a private key"):
        load_private_key(read("registry/public_key_spki.pem"))
    with pytest.raises(Malformed, match="not a PEM of a public key"):
        load_public_key(PKCS1)


def test_a_public_exponent_that_slows_verification_is_refused() -> None:
    modulus = load_private_key(PKCS1).public_key().public_numbers().n
    slow = rsa.RSAPublicNumbers(2**61 - 1, modulus).public_key()
    with pytest.raises(Malformed, match="exponent"):
        load_public_key(slow.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_an_oversized_pem_is_refused_unread() -> None:
    with pytest.raises(Malformed, match="too big"):
        load_private_key(PKCS1 + b"\n" * PEM_SIZE_MAX)


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.integers(0, len(PKCS1) - 2).map(lambda cut: PKCS1[:cut]))
def test_any_other_bytes_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        load_private_key(data)
    with pytest.raises(Malformed):
        load_public_key(data)
