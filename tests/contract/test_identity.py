"""Instants, addresses, scopes and point ids."""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from memplane_adapters.contract import (
    POINT_NAMESPACE,
    Address,
    Kind,
    Scope,
    from_micros,
    instant,
    point_id,
    to_micros,
)

# --- instants -----------------------------------------------------------------------------------

_SECOND = 1_000_000_000
_NEW_YEAR = 1_767_225_600 * _SECOND


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2026-01-01", _NEW_YEAR),
        ("2026-01-01T00:00:00z", _NEW_YEAR),
        ("2026-01-01t00:00:00Z", _NEW_YEAR),
        ("2026-01-01 00:00:00", _NEW_YEAR),
        ("2026-01-01T01:00:00+01:00", _NEW_YEAR),
        ("2025-12-31T19:00:00-05:00", _NEW_YEAR),
        ("2026-01-01T23:59:00+23:59", _NEW_YEAR),
        ("2026-01-01T00:00:00-00:00", _NEW_YEAR),
        ("2026-01-01T00:00:00.5Z", _NEW_YEAR + _SECOND // 2),
        ("2026-01-01T00:00:00.123456Z", _NEW_YEAR + 123_456_000),
        ("2026-01-01T00:00:00.000000001Z", _NEW_YEAR + 1),
        ("2024-02-29", 1_709_164_800 * _SECOND),
        ("0001-01-01", -62_135_596_800 * _SECOND),
        ("9999-12-31T23:59:59.999999999Z", 253_402_300_800 * _SECOND - 1),
    ],
)
def test_field_25_instants(text: str, nanos: int) -> None:
    assert instant(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026",
        "2026-01",
        "20260101",
        "2026-1-1",
        "2026-13-01",
        "2026-00-10",
        "2026-02-29",
        "2026-04-31",
        "0000-01-01",
        "10000-01-01",
        "-2026-01-01",
        "2026-01-01T",
        "2026-01-01Z",
        "2026-01-01+01:00",
        "2026-01-01T00",
        "2026-01-01T00:00",
        "2026-01-01T00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00+1:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00+01",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+14:60",
        "2026-01-01T00:00:00 +01:00",
        "2026-01-01T00:00:00ZZ",
        "2026-01-01_00:00:00",
        " 2026-01-01",
        "2026-01-01 ",
        "2026-01-01\n",
        "2026-01-01T00:00:00Z\n",
        "\u0662026-01-01",
        "\uff12\uff10\uff12\uff16-01-01",
        "2026\u201101\u201101",
    ],
)
def test_field_26_what_is_no_instant(text: str) -> None:
    """Offset +14:60 was accepted and shifted."""
    assert instant(text) is None


@pytest.mark.parametrize("value", [None, True, 0, 1.5, b"2026-01-01", [], ["2026-01-01"], {}])
def test_other_types_are_no_instants(value: object) -> None:
    assert instant(value) is None  # type: ignore[arg-type]


_moments = st.datetimes(timezones=st.just(UTC))


@given(_moments)
def test_field_26_microseconds_are_kept(moment: datetime) -> None:
    micros = to_micros(moment)
    assert from_micros(micros) == moment
    assert instant(moment) == micros * 1000
    assert instant(moment.isoformat()) == micros * 1000
    assert instant(moment.isoformat().replace("+00:00", "Z")) == micros * 1000


@given(_moments, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_offsets_name_the_same_instant(moment: datetime, minutes: int) -> None:
    try:
        there = moment + timedelta(minutes=minutes)
    except OverflowError:
        assume(False)
        raise
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    text = there.replace(tzinfo=None).isoformat() + f"{sign}{hours:02}:{rest:02}"
    assert instant(text) == instant(moment)


_STRICT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_nearly = st.from_regex(
    r"\A\d{3,5}-\d{1,3}-\d{1,2}([Tt _]\d{1,2}:\d{1,2}(:\d{1,3})?([.,]\d{0,11})?"
    r"([Zz]|[+-]\d{1,2}:?\d{0,3})?)?\n?\Z"
)


@given(_nearly | st.text(max_size=30) | st.from_regex(_STRICT, fullmatch=True))
@example("2026-01-01T00:00:00Z\n")
def test_field_26_strict_rfc_3339_fuzzed(text: str) -> None:
    """Whatever is taken has the form, and means what Python takes it for."""
    nanos = instant(text)
    if nanos is None:
        return
    assert _STRICT.fullmatch(text)
    whole = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), text.upper())
    moment = datetime.fromisoformat(whole)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    assert to_micros(moment) == nanos // 1000


# --- scopes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "namespace", "covered", "exactly"),
    [
        ((), (), True, True),
        ((), ("a",), True, False),
        (("a",), ("a",), True, True),
        (("a",), ("a", "b"), True, False),
        (("a", "b"), ("a",), False, False),
        (("a",), ("ab",), False, False),
        (("a",), ("A",), False, False),
        (("acme",), ("acme-corp",), False, False),
        (("a", "b:c"), ("a", "b", "c"), False, False),
        (("a", "b"), ("b", "a"), False, False),
    ],
)
def test_field_13_scopes_cover_whole_labels(
    prefix: tuple[str, ...], namespace: tuple[str, ...], covered: bool, exactly: bool
) -> None:
    address = Address("t", Kind.SEMANTIC, namespace, "k")
    assert Scope("t", Kind.SEMANTIC, 0, prefix).covers(address) is covered
    assert Scope("t", Kind.SEMANTIC, 0, prefix, exact=True).covers(address) is exactly
    assert not Scope("T", Kind.SEMANTIC, 0, prefix).covers(address)
    assert not Scope("t", Kind.EPISODIC, 0, prefix).covers(address)


# --- point ids ----------------------------------------------------------------------------------

_parts = st.text(
    st.sampled_from("ab:/.\\\x01 é日🙂") | st.characters(exclude_categories=["Cs"]), max_size=4
)
_addresses = st.builds(
    Address, _parts, st.sampled_from(Kind), st.lists(_parts, max_size=4).map(tuple), _parts
)


@given(_addresses, _addresses, st.integers(0, 16), st.integers(0, 16))
def test_field_14_ids_meet_only_when_addresses_do(
    left: Address, right: Address, one: int, two: int
) -> None:
    """["a","b:c"] and ["a","b","c"] were one key."""
    assert (point_id(left, one) == point_id(right, two)) is ((left, one) == (right, two))


@given(_addresses, st.integers(0, 16), st.data())
def test_shifted_borders_give_other_ids(address: Address, part: int, data: st.DataObject) -> None:
    """The same characters, cut differently into labels, key and tenant."""
    pieces = [address.tenant, *address.namespace, address.key]
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=5)))
    first, *middle, last = [
        text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)
    ]
    other = Address(first, address.kind, tuple(middle), last)
    assert (point_id(other, part) == point_id(address, part)) is (other == address)


@given(_addresses, st.integers(0, 16))
def test_ids_are_version_5_of_the_length_prefixed_parts(address: Address, part: int) -> None:
    def prefixed(text: str) -> bytes:
        return len(text.encode()).to_bytes(4, "big") + text.encode()

    name = b"".join(
        (
            prefixed(address.tenant),
            prefixed(address.kind.value),
            len(address.namespace).to_bytes(4, "big"),
            *map(prefixed, address.namespace),
            prefixed(address.key),
            part.to_bytes(4, "big"),
        )
    )
    made = point_id(address, part)
    assert (made.version, made.variant) == (5, uuid.RFC_4122)
    assert made == _uuid5(name)


def _uuid5(name: bytes) -> uuid.UUID:  # uuid.uuid5 takes bytes from Python 3.12 on only
    digest = hashlib.sha1(POINT_NAMESPACE.bytes + name, usedforsecurity=False).digest()
    return uuid.UUID(bytes=digest[:16], version=5)


@pytest.mark.parametrize(
    ("address", "part", "expected"),
    [
        (
            Address("default", Kind.SEMANTIC, ("support-bot", "user-42"), "k"),
            0,
            "dd92c4e9-68da-52ca-8a6a-da19816fdbfc",
        ),
        (
            Address("default", Kind.SEMANTIC, ("support-bot", "user-42"), "k"),
            1,
            "8961e740-ece3-52fa-a3fa-94f796f44b10",
        ),
        (Address("default", Kind.EPISODIC, (), "日本"), 0, "447dc439-8971-52d6-8695-532df016bb2f"),
    ],
)
def test_ids_never_change(address: Address, part: int, expected: str) -> None:
    """Other clients and stored data rely on these very ids."""
    assert str(point_id(address, part)) == expected
