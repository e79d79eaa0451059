"""How a point is a row of Chroma, and back.

| column | what it holds |
| --- | --- |
| id | the point id, as text |
| embedding | the vector; for a point without one a direction made from its id, which no query sees |
| uri | the record, as a data: URI |
| document | [tenant, namespace, key, time, update_time] as JSON: the one column that can be read |
|          | without the rest of the row, so walks read it |
| metadata | tokens, numbers and instants for filters; revision, times, text |
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from memplane_adapters.chroma import errors
from memplane_adapters.chroma.filters import EXPIRE_TIME, TOKENS, number_key, scope_tokens
from memplane_adapters.contract import Address, Point, StoreError, StoreReason, Vector, point_id
from memplane_adapters.kit import typed

REVISION: Final = "revision"
BARE: Final = "bare"

MOST_VALUES: Final = 5_400
"""Of the tokens of a row, and of its keys: SQLite takes 5,461 in a statement."""

_URI: Final = "data:application/octet-stream;base64,"


@dataclass(frozen=True, slots=True)
class Row:
    """What is written of a point."""

    id: str
    embedding: list[float]
    metadata: dict[str, Any]
    document: str
    uri: str


@dataclass(frozen=True, slots=True)
class Outline:
    """Where a row stands."""

    namespace: tuple[str, ...]
    key: str
    time: int
    update_time: int


# A write makes it several times: to look what is there, and to replace it.
@lru_cache(maxsize=4_096)
def row_id(address: Address) -> str:
    """The id of a memory's head point."""
    return str(point_id(address))


def encode(point: Point, dimension: int) -> Row:
    """A row; the vector, where there is one, has the dimension."""
    address = point.address
    found = typed.indexed(point.fields)
    metadata: dict[str, Any] = {
        TOKENS: [*scope_tokens(point), *found.tokens],
        REVISION: point.revision,
        "time": point.time,
        "update_time": point.update_time,
        EXPIRE_TIME: point.expire_time,  # None takes an old one away
        BARE: point.vector is None,
        "text": point.text,
    }
    for name, number in found.numbers.items():
        metadata[number_key("number", name)] = number
    for name, instant in found.instants.items():
        metadata[number_key("instant", name)] = instant
    outline = [address.tenant, address.namespace, address.key, point.time, point.update_time]
    vector = _stand_in(address, dimension) if point.vector is None else point.vector
    return Row(
        id=row_id(address),
        embedding=vector.tolist(),
        metadata=metadata,
        document=orjson.dumps(outline).decode(),
        uri=_URI + base64.b64encode(point.record).decode(),
    )


def refusal(row: Row) -> StoreError | None:
    """Why a row must not be written.

    Chroma writes the items of a row's lists in one statement of SQLite and its keys in another. One
    with more than it takes is acknowledged by the log and then breaks its collection for good.
    """
    number = max(len(row.metadata[TOKENS]), len(row.metadata))
    if number <= MOST_VALUES:
        return None
    return StoreError(
        StoreReason.ITEM_TOO_LARGE,
        f"{number} values of metadata, above {MOST_VALUES}",
        metadata={"limit_values": str(MOST_VALUES), "actual_values": str(number)},
    )


def _stand_in(address: Address, dimension: int) -> Vector:
    """A direction of its own for each row: rows that share one would clog the index."""
    chance = np.random.default_rng(point_id(address).int)
    direction = chance.standard_normal(dimension)
    return (direction / np.linalg.norm(direction)).astype(np.float32)


def columns(reply: Mapping[str, Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """The rows of an answer: id and columns. Raises PROTOCOL unless all are there and as long."""
    found: list[Any] = [reply.get(name) for name in ("ids", *names)]
    if not all(isinstance(column, list) and len(column) == len(found[0]) for column in found):
        raise errors.malformed(f"Chroma's answer lacks one of {', '.join(('ids', *names))}")
    yield from zip(*found, strict=True)


def first_query(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """The columns of the one query of an answer. Raises PROTOCOL."""
    try:
        return {
            name: column[0] if isinstance(column, list) else column
            for name, column in reply.items()
            if name != "included"
        }
    except LookupError as error:
        raise errors.malformed("Chroma's answer holds no query") from error


def ids(reply: Mapping[str, Any]) -> list[str]:
    """The ids of an answer."""
    return [one for (one,) in columns(reply)]


def decode_record(uri: object) -> bytes:
    """The record of a row. Raises PROTOCOL."""
    if not isinstance(uri, str) or not uri.startswith(_URI):
        raise errors.malformed("a row of Chroma holds no record")
    try:
        return base64.b64decode(uri[len(_URI) :], validate=True)
    except binascii.Error as error:
        raise errors.malformed("a row of Chroma holds a broken record") from error


def decode_outline(document: object) -> Outline:
    """Where a row stands. Raises PROTOCOL."""
    try:
        _, namespace, key, time, update_time = orjson.loads(document)  # type: ignore[arg-type]
        return Outline(tuple(namespace), key, time, update_time)
    except (TypeError, ValueError) as error:
        raise errors.malformed("a row of Chroma does not say where it stands") from error


def decode_vectors(embeddings: Sequence[Any], dimension: int) -> npt.NDArray[np.float32]:
    """The vectors of rows, one a row. Raises PROTOCOL."""
    try:
        vectors = np.array(embeddings, np.float32).reshape(len(embeddings), dimension)
    except (TypeError, ValueError) as error:
        raise errors.malformed("Chroma's answer holds vectors of another dimension") from error
    return vectors
