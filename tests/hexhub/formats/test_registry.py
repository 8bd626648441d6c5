"""Registry resources: byte for byte what the real encoder makes, and hostile payloads."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest
from hypothesis import given, strategies as st

from hexhub.errors import Malformed
from hexhub.formats.registry import (
    Advisory,
    Dependency,
    NamesEntry,
    Override,
    Policy,
    RegistryPackage,
    RegistryRelease,
    RepositoryPolicy,
    Restriction,
    Retired,
    VersionsEntry,
    decode_names,
    decode_package,
    decode_policy,
    decode_versions,
    encode_names,
    encode_package,
    encode_policy,
    encode_versions,
    join,
    names_chunk,
    seal,
    sign,
    unseal,
    versions_chunk,
)
from hexhub.formats.signing_key import load_private_key
from tests.hexhub.formats import registry_golden as golden
from tests.hexhub.formats.golden import load, read

T = TypeVar("T")

KEY = load_private_key(read("registry/private_key.pem"))
SIZE_MAX = 1_000_000

RESOURCES: list[tuple[str, dict[str, Any]]] = [
    (folder, resource)
    for folder, decoded in (
        ("registry/public", "registry/decoded.json"),
        ("registry_rich", "registry_rich/decoded.json"),
    )
    for resource in load(decoded)["resources"]
]
IDS = [f"{folder}/{resource['file']}" for folder, resource in RESOURCES]

ENCODE: dict[str, Callable[[Any], bytes]] = {
    "Names": lambda names: encode_names(names.repository, names.packages),
    "Versions": lambda versions: encode_versions(versions.repository, versions.packages),
    "Package": encode_package,
    "Policy": encode_policy,
}
DECODE: dict[str, Callable[[bytes], Any]] = {
    "Names": decode_names,
    "Versions": decode_versions,
    "Package": decode_package,
    "Policy": decode_policy,
}
SPELLED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "Names": golden.names,
    "Versions": golden.versions,
    "Package": golden.package,
    "Policy": golden.policy,
}


# Times finer than a microsecond, which our values cut: bytes of the message -> the cut ones.
CUT = {
    b"\x08\x80\xa0\xf8\xfa\x05\x10\x05": b"\x08\x80\xa0\xf8\xfa\x05\x10\x00",
    b"\x08\x80\xae\x99\xa4\x0f\x10\xff\x93\xeb\xdc\x03": (
        b"\x08\x80\xae\x99\xa4\x0f\x10\x98\x8c\xeb\xdc\x03"
    ),
}


def payload_of(resource: dict[str, Any]) -> bytes:
    """The golden payload with its times cut to whole microseconds."""
    payload = base64.b64decode(resource["payload_base64"])
    for fine, cut in CUT.items():
        payload = payload.replace(fine, cut)
    return payload


@pytest.mark.parametrize(("folder", "resource"), RESOURCES, ids=IDS)
def test_a_resource_is_encoded_to_the_bytes_of_the_real_encoder(
    folder: str, resource: dict[str, Any]
) -> None:
    value = SPELLED[resource["message"]](resource["decoded"])
    assert ENCODE[resource["message"]](value) == payload_of(resource)


@pytest.mark.parametrize(("folder", "resource"), RESOURCES, ids=IDS)
def test_a_resource_is_decoded_to_the_values_of_the_real_decoder(
    folder: str, resource: dict[str, Any]
) -> None:
    payload = base64.b64decode(resource["payload_base64"])
    value = SPELLED[resource["message"]](resource["decoded"])
    assert DECODE[resource["message"]](payload) == value


@pytest.mark.parametrize(("folder", "resource"), RESOURCES, ids=IDS)
def test_a_payload_is_signed_and_sealed_to_the_golden_file(
    folder: str, resource: dict[str, Any]
) -> None:
    payload = base64.b64decode(resource["payload_base64"])
    body = read(f"{folder}/{resource['file']}")
    assert sign(payload, KEY).hex() == resource["signature_hex"]
    assert seal(payload, KEY) == body
    assert unseal(body, KEY.public_key(), size_max=SIZE_MAX) == payload


def test_only_two_golden_resources_have_times_finer_than_a_microsecond() -> None:
    cut = [
        resource["file"]
        for _, resource in RESOURCES
        if payload_of(resource) != base64.b64decode(resource["payload_base64"])
    ]
    assert cut == ["names", "packages/rich"]


# What the real client says of each file, or why we say otherwise.
WITHOUT_REQUIRED_FIELD = {"bad/release_without_version", "bad/dependency_without_requirement"}


@pytest.mark.parametrize(
    "case", load("registry_rich/bad.json"), ids=lambda case: case["file"].removeprefix("bad/")
)
def test_an_odd_resource_gets_the_verdict_of_the_real_client(case: dict[str, Any]) -> None:
    body = read(f"registry_rich/{case['file']}")

    def accepted() -> RegistryPackage:
        package = decode_package(unseal(body, KEY.public_key(), size_max=SIZE_MAX))
        if (package.name, package.repository) != ("rich", "hexpm"):
            raise Malformed("another package")
        return package

    # The client reads a missing version or requirement as `$undef`; there is nothing useful in that.
    if case["normal"]["result"] == "ok" and case["file"] not in WITHOUT_REQUIRED_FIELD:
        assert accepted() == golden.package(case["normal"]["decoded"])
    else:
        with pytest.raises(Malformed):
            accepted()


def test_a_body_is_not_inflated_beyond_its_bound() -> None:
    body = seal(bytes(50_000_000), KEY)
    assert len(body) < 60_000
    with pytest.raises(Malformed, match="more than 1000000 bytes"):
        unseal(body, KEY.public_key(), size_max=SIZE_MAX)


def test_a_body_of_exactly_the_bound_is_read() -> None:
    body = seal(b"x" * 500, KEY)
    size = 500 + 3 + 256 + 3  # two fields: tag, length of two bytes, data
    assert unseal(body, KEY.public_key(), size_max=size) == b"x" * 500
    with pytest.raises(Malformed):
        unseal(body, KEY.public_key(), size_max=size - 1)


@given(st.binary(max_size=300))
def test_any_body_is_unsealed_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        unseal(data, KEY.public_key(), size_max=SIZE_MAX)


@given(st.integers(0, 1398), st.integers(1, 255))
def test_a_changed_byte_never_passes_for_another_payload(position: int, change: int) -> None:
    body = bytearray(read("registry_rich/packages/rich"))
    position %= len(body)
    body[position] ^= change
    try:
        payload = unseal(bytes(body), KEY.public_key(), size_max=SIZE_MAX)
    except Malformed:
        return
    assert payload == unseal(
        read("registry_rich/packages/rich"), KEY.public_key(), size_max=SIZE_MAX
    )


@given(st.binary(max_size=200))
def test_any_payload_is_a_value_or_malformed(data: bytes) -> None:
    for decode in DECODE.values():
        with contextlib.suppress(Malformed):
            decode(data)


@given(st.data())
def test_a_mutated_payload_is_a_value_or_malformed(data: st.DataObject) -> None:
    _, resource = data.draw(st.sampled_from(RESOURCES))
    payload = bytearray(base64.b64decode(resource["payload_base64"]))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        DECODE[resource["message"]](bytes(payload))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(0, 2**31 - 1)
moments = st.datetimes(timezones=st.just(UTC))
checksums = st.binary(min_size=32, max_size=32)


def tuples(each: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """Short tuples of values."""
    return st.lists(each, max_size=4).map(tuple)


dependencies = st.builds(
    Dependency, texts, texts, st.none() | st.booleans(), st.none() | texts, st.none() | texts
)
releases = st.builds(
    RegistryRelease,
    texts,
    checksums,
    st.none() | checksums,
    tuples(dependencies),
    st.none() | st.builds(Retired, numbers, st.none() | texts),
    tuples(numbers),
    st.none() | moments,
)
advisories = st.builds(
    Advisory,
    texts,
    texts,
    texts,
    texts,
    st.none() | numbers,
    st.none() | st.floats(0, 10, width=32),
    tuples(texts),
)
packages = st.builds(RegistryPackage, texts, texts, tuples(releases), tuples(advisories))
restrictions = st.builds(Restriction, st.none() | numbers, tuples(numbers), st.none() | texts)
overrides = st.builds(Override, numbers, texts, st.none() | texts)
rules = st.builds(RepositoryPolicy, texts, st.none() | restrictions, tuples(overrides))
policies = st.builds(Policy, texts, texts, numbers, st.none() | texts, tuples(rules))
names_entries = st.lists(st.builds(NamesEntry, texts, st.none() | moments), max_size=5)
versions_entries = st.lists(
    st.builds(
        lambda name, versions, marked: VersionsEntry(
            name, tuple(versions), tuple(range(min(marked, len(versions))))
        ),
        texts,
        st.lists(texts, max_size=5),
        st.integers(0, 5),
    ),
    max_size=5,
)


@given(packages)
def test_a_package_survives_its_payload(package: RegistryPackage) -> None:
    assert decode_package(encode_package(package)) == package


@given(policies)
def test_a_policy_survives_its_payload(policy: Policy) -> None:
    assert decode_policy(encode_policy(policy)) == policy


@given(texts, names_entries)
def test_names_are_joined_from_chunks(repository: str, entries: list[NamesEntry]) -> None:
    payload = encode_names(repository, entries)
    assert join([names_chunk(entry) for entry in entries], repository) == payload
    decoded = decode_names(payload)
    assert (decoded.repository, list(decoded.packages)) == (repository, entries)


@given(texts, versions_entries)
def test_versions_are_joined_from_chunks(repository: str, entries: list[VersionsEntry]) -> None:
    payload = encode_versions(repository, entries)
    assert join([versions_chunk(entry) for entry in entries], repository) == payload
    decoded = decode_versions(payload)
    assert (decoded.repository, list(decoded.packages)) == (repository, entries)


def test_an_action_number_of_the_future_is_kept() -> None:
    rule = RepositoryPolicy("hexpm", None, (Override(99, "plug"), Override(-1, "jason")))
    policy = Policy("acme", "p00", 7, None, (rule,))
    assert decode_policy(encode_policy(policy)) == policy


def test_an_optional_that_is_not_true_is_left_out_unless_given() -> None:
    def size(optional: bool | None) -> int:
        dependency = Dependency("a", "1.0.0", optional)
        release = RegistryRelease("1.0.0", bytes(32), dependencies=(dependency,))
        return len(encode_package(RegistryPackage("p", "r", (release,))))

    assert size(True) == size(False) == size(None) + 2


@pytest.mark.parametrize(
    "entry", [VersionsEntry("a", ("1.0.0",), (1,)), VersionsEntry("a", ("1.0.0",), (), (-1,))]
)
def test_a_position_outside_the_versions_is_malformed(entry: VersionsEntry) -> None:
    with pytest.raises(Malformed, match="position"):
        decode_versions(encode_versions("acme", [entry]))


@pytest.mark.parametrize(
    "stamp",
    [
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x00",  # seconds = 2^63 - 1
        b"\x08\x00\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # nanos = -1
        b"\x08\x00\x10\x80\x94\xeb\xdc\x03",  # nanos = 10^9
        b"\x08\x00",  # no nanos
    ],
)
def test_a_time_that_does_not_exist_is_malformed(stamp: bytes) -> None:
    entry = b"\x0a\x01a\x1a" + bytes([len(stamp)]) + stamp
    payload = b"\x0a" + bytes([len(entry)]) + entry + b"\x12\x01r"
    with pytest.raises(Malformed):
        decode_names(payload)


def test_a_time_of_another_zone_is_the_same_moment() -> None:
    here = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=timezone(timedelta(hours=5)))
    assert names_chunk(NamesEntry("a", here)) == names_chunk(NamesEntry("a", here.astimezone(UTC)))


def test_a_checksum_of_another_length_is_malformed() -> None:
    package = RegistryPackage("p", "r", (RegistryRelease("1.0.0", bytes(20)),))
    with pytest.raises(Malformed, match="32 bytes"):
        decode_package(encode_package(package))
