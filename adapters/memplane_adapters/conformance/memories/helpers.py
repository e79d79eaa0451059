"""Words that several rooms of cases share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from memplane import (
    AsyncScope,
    Capabilities,
    FilterLike,
    InvalidArgument,
    Kind,
    Memory,
    MemplaneError,
    Mode,
    Outcome,
    Put,
    Ref,
    WriteResult,
)
from memplane.v1 import memory_pb2, value_pb2
from memplane_adapters.conformance import notes

ON_THE_SESSION_LOOP = pytest.mark.asyncio(loop_scope="session")
"""The gateway lives on the session's event loop, so the cases do too."""

EVERY_KIND = pytest.mark.parametrize("kind", list(Kind))
EVERY_STORE = pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.PROCEDURAL])
"""One kind for each sort of store, where the third adds nothing."""
SEARCHED = pytest.mark.parametrize("kind", [Kind.SEMANTIC, Kind.EPISODIC])

KIND_NUMBERS = {
    Kind.SEMANTIC: memory_pb2.KIND_SEMANTIC,
    Kind.EPISODIC: memory_pb2.KIND_EPISODIC,
    Kind.PROCEDURAL: memory_pb2.KIND_PROCEDURAL,
}

Vectors: TypeAlias = npt.NDArray[np.float32]
ErrorT = TypeVar("ErrorT", bound=MemplaneError)


class Refusal:
    """What `refused` caught."""

    error: MemplaneError

    @property
    def fields(self) -> set[str]:
        """The paths of the broken rules."""
        return {violation.field for violation in self.error.violations}


@contextmanager
def refused(
    kind: type[MemplaneError] = InvalidArgument,
    reason: str = "INVALID_REQUEST",
    *fields: str,
) -> Iterator[Refusal]:
    """Expects exactly this error; with `fields`, exactly these paths broke a rule."""
    refusal = Refusal()
    with pytest.raises(MemplaneError) as caught:
        yield refusal
    refusal.error = caught.value
    assert (type(caught.value), caught.value.reason) == (kind, reason), str(caught.value)
    if fields:
        assert refusal.fields == set(fields)


def failed(result: WriteResult, kind: type[ErrorT], reason: str) -> ErrorT:
    """The error of an item that must have failed in this way, and did nothing."""
    assert result.error is not None, result
    assert (type(result.error), result.error.reason) == (kind, reason), str(result.error)
    assert result.outcome is Outcome.UNKNOWN
    assert not result.etag
    assert isinstance(result.error, kind)
    return result.error


def ref_message(ref: Ref) -> memory_pb2.MemoryRef:
    """A ref on the wire."""
    return memory_pb2.MemoryRef(kind=KIND_NUMBERS[ref.kind], namespace=ref.namespace, key=ref.key)


def string_value(text: str) -> value_pb2.Value:
    """A string on the wire."""
    return value_pb2.Value(string_value=text)


def nested(depth: int, *, maps: bool) -> Any:
    """Lists, or maps, so many deep."""
    value: Any = {} if maps else []
    for _ in range(depth - 1):
        value = {"m": value} if maps else [value]
    return value


def key() -> str:
    """A key that nobody has used."""
    return uuid.uuid4().hex


def at(second: float) -> datetime:
    """An instant on a quiet day of the past."""
    return datetime(2024, 5, 17, 12, 0, 0, tzinfo=UTC) + timedelta(seconds=second)


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 20.0) -> None:
    """Polls until something holds; fails when it never does."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 (nobody can tell us)
            await asyncio.sleep(0.005)


async def expired(space: AsyncScope, kind: Kind, name: str, **content: Any) -> WriteResult:
    """Writes a memory that has expired when this returns."""
    written = await space.put(kind, name, ttl=0.02, **content)

    async def gone() -> bool:
        return await space.get(kind, name) is None

    await until(gone)
    return written


async def put_all(space: AsyncScope, puts: Iterable[Put]) -> list[WriteResult]:
    """Writes all, and none may fail."""
    return list((await space.put_many(puts)).raise_for_error())


async def keys_listed(
    space: AsyncScope, kind: Kind, filter: FilterLike | None = None, **options: Any
) -> list[str]:
    """The keys of a whole walk."""
    walk = space.list(kind, filter=filter, page_size=options.pop("page_size", 1000), **options)
    return [memory.key async for memory in walk]


async def keys_recent(
    space: AsyncScope, kind: Kind, filter: FilterLike | None = None, **options: Any
) -> list[str]:
    """The keys that RECENT finds, in order."""
    found = await space.search(
        kind=kind, mode=Mode.RECENT, filter=filter, limit=options.pop("limit", 1000), **options
    )
    return [memory.key for memory in found.memories]


async def there(space: AsyncScope, kind: Kind, name: str, **options: Any) -> Memory:
    """A memory that must be there."""
    memory = await space.get(kind, name, **options)
    assert memory is not None, f"{name!r} is missing"
    return memory


def dimension_of(abilities: Capabilities, kind: Kind) -> int:
    """How long the vectors of a kind are."""
    embedding = abilities[kind].embedding
    assert embedding is not None
    return embedding.dimension


def needs(able: bool, what: str) -> None:
    """Skips a case where the store has not declared a capability."""
    if not able:
        pytest.skip(f"the store has no {what}")
    capability = notes.capability_of(what)
    if capability:
        notes.needed(capability)


def needs_room(abilities: Capabilities, kind: Kind, size: int) -> None:
    """Skips a case where a memory of so many bytes has no room beside its vectors."""
    most = abilities[kind].max_metadata_bytes
    needs(most is None or most >= size, f"room for {size} bytes beside a vector")


async def put_what_fits(space: AsyncScope, puts: list[Put], abilities: Capabilities) -> list[Put]:
    """Puts all; where the store limits what is beside vectors, without those that are above that."""
    if abilities[puts[0].ref.kind].max_metadata_bytes is None:
        await put_all(space, puts)
        return puts
    kept: list[Put] = []
    for put in puts:
        try:
            await put_all(space, [put])
        except InvalidArgument as error:
            assert error.reason == "ITEM_TOO_LARGE", error  # noqa: PT017 (nothing need be raised)
        else:
            kept.append(put)
    return kept


def needs_texts(abilities: Capabilities, kind: Kind) -> None:
    """Skips a case where the route has no embedder for texts."""
    embedding = abilities[kind].embedding
    needs(embedding is not None and embedding.provider != "client", "embedder for texts")


def axis(dimension: int, *shares: float) -> list[float]:
    """A vector with these numbers first and zeros behind."""
    return [*shares, *([0.0] * (dimension - len(shares)))]


def unit_vectors(count: int, dimension: int, seed: int) -> Vectors:
    """Random directions, the same for the same seed."""
    drawn = np.random.default_rng(seed).standard_normal((count, dimension))
    made: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return made


def places(memories: Sequence[Memory]) -> list[tuple[tuple[str, ...], str]]:
    """Where memories stand."""
    return [(memory.namespace, memory.key) for memory in memories]
