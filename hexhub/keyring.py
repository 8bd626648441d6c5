"""The secrets of a hub: the root secret on this machine, and the keys in the tables under it."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cluster import Store
from hexhub.config import Config
from hexhub.domain import settings
from hexhub.errors import Malformed, Refused
from hexhub.formats import sealed, signing_key

KEY_BITS = 2048


def root_secret(config: Config) -> bytes:
    """`SECRET_KEY_BASE`, or the secret that was made once for this checkout or directory.

    Several nodes may start at once on a fresh checkout: whoever makes the file first wins.
    """
    if config.secret_key_base is not None:
        return config.secret_key_base.reveal().encode()
    path = config.secret_file
    try:
        return _existing(path)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path)
        return _existing(path)
    except OSError as error:
        raise Refused(f"cannot read the secret at {path}: {error.strerror}") from None


def existing_root_secret(config: Config) -> bytes | None:
    """As `root_secret`, but none is made."""
    if config.secret_key_base is not None:
        return config.secret_key_base.reveal().encode()
    try:
        return _existing(config.secret_file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused(f"cannot read the secret: {error.strerror}") from None


def keep_root_secret(config: Config, root: bytes) -> None:
    """Make the file of the root secret, which is not there, hold this one."""
    config.secret_file.parent.mkdir(parents=True, exist_ok=True)
    _make(config.secret_file, root.decode())


def links_secret(config: Config, root: bytes) -> bytes:
    """What authenticates and encrypts the links between nodes: COOKIE, else derived from the root."""
    if config.cookie is not None:
        return config.cookie.reveal().encode()
    return sealed.derive(root, "cluster links")


def _existing(path: Path) -> bytes:
    secret = path.read_bytes().strip()
    if len(secret) < 32:
        raise Refused(f"the secret at {path} is too short to be one of ours")
    return secret


def _make(path: Path, secret: str | None = None) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write((secret or secrets.token_hex(32)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()


async def open_signing_key(config: Config, store: Store, root: bytes) -> RSAPrivateKey:
    """The hub's signing key; made, or brought by SIGNING_KEY_FILE, when there is none yet.

    Raises Refused when the secret does not open it, or a file holds another key. A new key is
    never made over one that is there: every client would have to be told.
    """
    brought = await asyncio.to_thread(_brought, config.signing_key_file)
    with store.view() as view:
        wrapped = settings.get(view, settings.SIGNING_KEY)
    if wrapped is None:
        new = brought
        if new is None:
            new = await asyncio.to_thread(rsa.generate_private_key, 65537, KEY_BITS)
        pem = signing_key.private_key_pem(new)
        wrapped = sealed.wrap(root, settings.SIGNING_KEY, pem, secrets.token_bytes(12))
        wrapped = await store.transact(settings.put_once, settings.SIGNING_KEY, wrapped)
    key = signing_key.load_private_key(_unwrap(root, settings.SIGNING_KEY, wrapped))
    if brought is not None and brought.private_numbers() != key.private_numbers():
        raise Refused(
            "SIGNING_KEY_FILE holds another key than this hub signs with; it is read only once, "
            "before a hub has a key. Unset it to go on with the hub's own key, "
            f"{signing_key.fingerprint(key)}."
        )
    return key


def _brought(path: Path | None) -> RSAPrivateKey | None:
    if path is None:
        return None
    try:
        return signing_key.load_private_key(path.read_bytes())
    except OSError as error:
        raise Refused(f"SIGNING_KEY_FILE: cannot read {path}: {error.strerror}") from None
    except Malformed as error:
        raise Refused(f"SIGNING_KEY_FILE: {path}: {error}") from None


async def open_hashing_key(store: Store, root: bytes) -> bytes:
    """The key under which secrets of API keys are hashed."""
    with store.view() as view:
        wrapped = settings.get(view, settings.HASHING_KEY)
    if wrapped is None:
        wrapped = sealed.wrap(
            root, settings.HASHING_KEY, secrets.token_bytes(32), secrets.token_bytes(12)
        )
        wrapped = await store.transact(settings.put_once, settings.HASHING_KEY, wrapped)
    return _unwrap(root, settings.HASHING_KEY, wrapped)


def _unwrap(root: bytes, name: str, wrapped: bytes) -> bytes:
    try:
        return sealed.unwrap(root, name, wrapped)
    except Malformed:
        raise Refused(
            "the secret does not fit this data: the signing key does not open with it. Set "
            "SECRET_KEY_BASE, or put back the file `secret`, as it was when the data was made."
        ) from None
