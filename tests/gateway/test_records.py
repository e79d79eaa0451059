"""The record: whatever a memory holds comes back from its bytes."""

from __future__ import annotations

import zlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import Address, EmbeddingIdentity, Kind, Value, identical
from memplane_gateway.memory.model import (
    ABSENT,
    Absent,
    Content,
    Episode,
    EpisodeType,
    Operation,
    Outcome,
    Provenance,
    Record,
    WriteToken,
)
from memplane_gateway.memory.shelf import DamagedRecordError
from memplane_gateway.wire.records import ProtobufRecords

CODEC = ProtobufRecords()

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.binary(),
    st.datetimes(timezones=st.just(UTC)),
)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)
micros = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
maybe_value = st.one_of(st.just(ABSENT), values)
short = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

episodes = st.builds(
    Episode,
    type=st.sampled_from(EpisodeType),
    event_time=micros,
    session_id=short,
    agent_id=short,
    actor=short,
    input=maybe_value,
    output=maybe_value,
)
contents = st.builds(
    Content,
    text=short,
    attributes=st.dictionaries(names, values, max_size=5),
    value=maybe_value,
    episode=st.one_of(st.none(), episodes),
    importance=st.one_of(st.none(), st.floats(0, 1)),
    pinned=st.booleans(),
    vector_digest=st.sampled_from([b"", b"1" * 16, b"2" * 16]),
)
records = st.builds(
    Record,
    address=st.builds(
        Address,
        short,
        st.sampled_from([Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL]),
        st.lists(names, max_size=4).map(tuple),
        names,
    ),
    content=contents,
    revision=st.integers(1, 2**63 - 1),
    create_time=micros,
    update_time=micros,
    expire_time=st.one_of(st.none(), micros),
    ttl=st.one_of(st.none(), st.integers(1, 2**53)),
    content_hash=st.binary(min_size=16, max_size=16),
    embedding=st.one_of(st.none(), st.just(EmbeddingIdentity("hash", "m", 8))),
    provenance=st.builds(Provenance, short, short, short),
    tokens=st.lists(
        st.builds(
            WriteToken,
            st.sampled_from([Operation.PUT, Operation.UPDATE]),
            short,
            st.integers(0, 999),
            st.binary(min_size=16, max_size=16),
            st.integers(1, 2**63 - 1),
            st.sampled_from(Outcome),
        ),
        max_size=16,
    ).map(tuple),
)


def _alike(left: Value | Absent, right: Value | Absent) -> bool:
    if left is ABSENT or right is ABSENT:
        return left is right
    return identical(left, right)


@given(records)
def test_a_record_survives(record: Record) -> None:
    again = CODEC.decode(CODEC.encode(record))
    assert again == record
    # Equality says that 1 is 1.0 and 0.0 is -0.0; types and signs must survive too.
    assert _alike(dict(again.content.attributes), dict(record.content.attributes))
    assert _alike(again.content.value, record.content.value)
    if record.content.episode is not None:
        assert again.content.episode is not None
        assert _alike(again.content.episode.input, record.content.episode.input)


@given(contents, contents)
def test_fingerprints_tell_contents_apart(left: Content, right: Content) -> None:
    same = CODEC.fingerprint(left) == CODEC.fingerprint(right)
    alike = (
        replace(left, attributes={}, value=ABSENT) == replace(right, attributes={}, value=ABSENT)
        and _alike(dict(left.attributes), dict(right.attributes))
        and _alike(left.value, right.value)
    )
    if same:
        assert alike or left.episode is not None
    assert CODEC.fingerprint(left) == CODEC.fingerprint(replace(left))


def test_a_client_vector_is_part_of_the_fingerprint() -> None:
    one, other = Content(text="x", vector_digest=b"1"), Content(text="x", vector_digest=b"2")
    assert CODEC.fingerprint(one) != CODEC.fingerprint(other)
    assert CODEC.fingerprint(one) != CODEC.fingerprint(Content(text="x"))


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x08\x02", b"\x08\x01", b""])
def test_what_is_no_record_of_ours_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"record|format|kind"):
        CODEC.decode(zlib.crc32(body).to_bytes(4, "big") + body)


@given(records, st.data())
def test_a_flipped_bit_is_noticed(record: Record, data: st.DataObject) -> None:
    encoded = bytearray(CODEC.encode(record))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedRecordError):
        CODEC.decode(bytes(encoded))


def test_instants_at_the_ends_of_time() -> None:
    ends: list[Value] = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    content = Content(attributes={"ends": ends}, episode=Episode(event_time=0))
    record = Record(
        address=Address("t", Kind.EPISODIC, (), "k"),
        content=content,
        revision=1,
        create_time=0,
        update_time=0,
        expire_time=None,
        ttl=None,
        content_hash=b"",
        embedding=None,
        provenance=Provenance("", "", ""),
    )
    again = CODEC.decode(CODEC.encode(record))
    assert again.content.attributes["ends"] == ends
    assert again.content.episode == Episode(event_time=0)
