"""How a memory becomes an object of Weaviate, and back.

Its properties:

    record      the whole memory, base64
    text        its text, for people who look into the store
    place       namespace and key as hex digits, which sort as places do
    scopes      a digest for each scope that it lies in (kit.scopes)
    tokens      its fields as typed names (kit.typed)
    ranges      its numbers and instants, but those with a property of their own (ranges)
    number_..., instant_...   those, for ranges
    terms       its analysed words
    time, update_time, expire_time   microseconds since 1970; without expire_time it never expires
    times       the first two once more, in digits: integers beyond 2^53 come out rounded
    revision    of the gateway, as hex digits

Text is never trimmed: what is searched for as a whole stands between "<" and ">".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from memplane_adapters.contract import Address, Order, Point, StoreError, StoreReason, Vector
from memplane_adapters.contract import point_id as contract_point_id
from memplane_adapters.kit import scopes, typed
from memplane_adapters.kit.codec import decode_namespace, encode_namespace
from memplane_adapters.kit.walks import Spot
from memplane_adapters.weaviate import ranges
from memplane_adapters.weaviate.stubs import base_pb2, batch_pb2, search_get_pb2

T = TypeVar("T")

VECTOR: Final = "memory"
RECORD: Final = "record"
TEXT: Final = "text"
PLACE: Final = "place"
SCOPES: Final = "scopes"
TOKENS: Final = "tokens"
RANGES: Final = "ranges"
TERMS: Final = "terms"
TIMES: Final = "times"
EXPIRE_TIME: Final = "expire_time"
REVISION: Final = "revision"


def _property(name: str, kind: str, **options: object) -> dict[str, object]:
    """Without an index, unless one is named."""
    made: dict[str, object] = {"name": name, "dataType": [kind], "indexFilterable": False}
    if kind.startswith("text"):
        made |= {"tokenization": "field", "indexSearchable": False}
    return made | options


def ranged(name: str) -> dict[str, object]:
    """The property of the numbers or instants of one path."""
    return _property(name, "number", indexRangeFilters=True)


PROPERTIES: Final[Sequence[Mapping[str, object]]] = (
    _property(RECORD, "blob"),
    _property(TEXT, "text"),
    _property(PLACE, "text", indexFilterable=True),
    _property(SCOPES, "text[]", indexFilterable=True),
    _property(TOKENS, "text[]", indexFilterable=True),
    _property(RANGES, "text[]", indexFilterable=True),
    _property(TERMS, "text", indexSearchable=True, tokenization="whitespace"),
    # Sorted by the one index, compared by the other.
    _property(Order.TIME.value, "int", indexFilterable=True, indexRangeFilters=True),
    _property(Order.UPDATE_TIME.value, "int", indexFilterable=True, indexRangeFilters=True),
    _property(EXPIRE_TIME, "int", indexRangeFilters=True),
    _property(TIMES, "text"),
    _property(REVISION, "text", indexFilterable=True),
)
"""What every collection has."""

MOST_BYTES: Final = 96 * 2**20
"""Of an object: a server takes 100 MB in a message."""
_PLACED: Final = 1 << 63


def id_of(address: Address) -> str:
    """The id of an address's object."""
    return str(contract_point_id(address))


def place_of(namespace: tuple[str, ...], key: str) -> str:
    """Namespace and key as hex digits, which sort as the two do."""
    return (encode_namespace(namespace) + b"\0" + key.encode()).hex()


def _unplaced(digits: str) -> tuple[tuple[str, ...], str]:
    data = bytes.fromhex(digits)
    # Labels are never empty: the first two zero bytes in a row end the namespace, and a zero byte
    # in front says that there is none.
    end = 0 if data.startswith(b"\0") else data.index(b"\0\0") + 1
    return decode_namespace(data[:end]), data[end + 1 :].decode()


def revision_of(revision: int) -> str:
    """A revision as hex digits, which sort as revisions do."""
    return f"{revision + _PLACED:016x}"


def whole(token: str) -> str:
    """A token as it is kept: Weaviate trims spaces at both ends."""
    return f"<{token}>"


def encode(
    point: Point, collection: str, tenant: str, own: Mapping[tuple[str, str], str]
) -> batch_pb2.BatchObject | StoreError:
    """The object of a memory, or why it must not be written; `own` are the properties of single paths."""
    address = point.address
    tokens, numbers, instants = typed.indexed(point.fields)
    size = sum(map(ranges.size_of, (*numbers, *instants)))
    if size > MOST_BYTES:
        return too_large(size)
    made = batch_pb2.BatchObject(uuid=id_of(address), collection=collection, tenant=tenant)
    if point.vector is not None:
        made.vectors.add(
            name=VECTOR,
            vector_bytes=point.vector.astype("<f4", copy=False).tobytes(),
            type=base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32,
        )
    texts = made.properties.non_ref_properties.fields
    texts[RECORD].string_value = base64.b64encode(point.record).decode("ascii")
    texts[PLACE].string_value = place_of(address.namespace, address.key)
    texts[TIMES].string_value = f"{point.time} {point.update_time}"
    texts[REVISION].string_value = revision_of(point.revision)
    texts[Order.TIME.value].number_value = point.time
    texts[Order.UPDATE_TIME.value].number_value = point.update_time
    if point.text:
        texts[TEXT].string_value = point.text
    if point.terms:
        texts[TERMS].string_value = " ".join(point.terms)
    if point.expire_time is not None:
        texts[EXPIRE_TIME].number_value = point.expire_time
    elsewhere: list[str] = []
    for sort, by_path in (
        ("number", numbers),
        ("instant", instants),
    ):
        for name, value in by_path.items():
            called = own.get((sort, name))
            if called is not None:
                texts[called].number_value = value
            else:
                elsewhere += ranges.tokens(sort, name, value)
    _add(made, SCOPES, [*scopes.prefix_digests(address), scopes.exact_digest(address)])
    _add(made, TOKENS, map(whole, tokens))
    _add(made, RANGES, map(whole, elsewhere))
    return made


def too_large(size: int) -> StoreError:
    """Why an object of so many bytes must not be written."""
    return StoreError(
        StoreReason.ITEM_TOO_LARGE,
        f"{size} bytes with what filters look for, above {MOST_BYTES}",
        metadata={"limit_bytes": str(MOST_BYTES), "actual_bytes": str(size)},
    )


def _add(made: batch_pb2.BatchObject, name: str, values: Iterable[str]) -> None:
    listed = list(values)
    if listed:
        made.properties.text_array_properties.add(prop_name=name, values=listed)


def read(make: Callable[[], T]) -> T:
    """What a function makes of an answer. Raises PROTOCOL where it is none of ours."""
    try:
        return make()
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        binascii.Error,
        json.JSONDecodeError,
    ) as error:
        raise StoreError(
            StoreReason.PROTOCOL, f"an object of Weaviate is none of ours: {error!r}"
        ) from error


def id_in(result: search_get_pb2.SearchResult) -> str:
    """The id of a row that was found."""
    return result.metadata.id


def record_in(result: search_get_pb2.SearchResult) -> bytes:
    """The record of a row that was found."""
    return read(
        lambda: base64.b64decode(_value(result, RECORD).blob_value.encode("ascii"), validate=True)
    )


def vector_in(result: search_get_pb2.SearchResult) -> Vector | None:
    """Its vector, if it has one."""
    data = next((each.vector_bytes for each in result.metadata.vectors if each.name == VECTOR), b"")
    return read(lambda: np.frombuffer(data, "<f4").astype(np.float32)) if data else None


def spot_in(result: search_get_pb2.SearchResult, order: Order) -> Spot:
    """Where a row stands in an order."""

    def make() -> Spot:
        value = 0
        if order is not Order.PLACE:
            time, update_time = map(int, _value(result, TIMES).text_value.split())
            value = time if order is Order.TIME else update_time
        return Spot(value, *_unplaced(_value(result, PLACE).text_value), result.metadata.id)

    return read(make)


def _value(result: search_get_pb2.SearchResult, name: str) -> Any:
    fields = result.properties.non_ref_props.fields
    if name not in fields:
        raise KeyError(name)
    return fields[name]
