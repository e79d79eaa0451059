"""Batches that a store can take: split by its limits, and put together again in order.

The size of an item is counted as the gateway holds it: the bytes of its record, vector (float32),
text, terms and fields. How a vendor writes these on its wire is for its adapter to allow for.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from memplane_adapters.contract import (
    Capabilities,
    Entry,
    Point,
    StoreError,
    StoreReason,
    Value,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_gateway.errors import AMBIGUOUS
from memplane_gateway.pacing import paced

ItemT = TypeVar("ItemT")
EntryT = TypeVar("EntryT", bound=Entry)
T = TypeVar("T")
Send = Callable[[Sequence[ItemT]], Awaitable[list[T]]]

_NUMBER_BYTES = 8


def size_of(entry: Entry) -> int:
    """About how many bytes an entry or a point is."""
    size = len(entry.record) + _value_bytes(entry.fields)
    if isinstance(entry, Point):
        size += len(entry.text.encode()) + sum(map(len, entry.terms))
        size += entry.vector.nbytes if entry.vector is not None else 0
    return size


def parts(indexes: Sequence[int], sizes: Sequence[int], able: Capabilities) -> Iterator[list[int]]:
    """The indexes in the order given, in parts that the store takes; `sizes` go by index."""
    part: list[int] = []
    size = 0
    for index in indexes:
        full = able.max_batch_items and len(part) >= able.max_batch_items
        heavy = able.max_batch_bytes and size + sizes[index] > able.max_batch_bytes
        if part and (full or heavy):
            yield part
            part, size = [], 0
        part.append(index)
        size += sizes[index]
    if part:
        yield part


async def read(items: Sequence[ItemT], able: Capabilities, send: Send[ItemT, T]) -> list[T]:
    """Read in parts. One that fails fails the whole."""
    if not _too_many(items, able):
        return await send(items)
    found: list[T] = []
    for part in parts(range(len(items)), [0] * len(items), able):
        found += await _sent([items[index] for index in part], send)
    return found


async def write(
    writes: Sequence[Write[EntryT]],
    able: Capabilities,
    send: Send[Write[EntryT], WriteResult],
) -> list[WriteResult]:
    """Write in parts; what is too large by itself is FAILED and never sent."""
    if not able.max_item_bytes and not able.max_batch_bytes:
        return await alter(writes, able, send)
    sizes = [size_of(write.entry) async for write in paced(writes)]
    return await alter(writes, able, send, sizes=sizes)


async def alter(
    items: Sequence[ItemT],
    able: Capabilities,
    send: Send[ItemT, WriteResult],
    *,
    sizes: Sequence[int] = (),
) -> list[WriteResult]:
    """Write or delete in parts.

    Raises the failure of the first part, since nothing has been done then. Behind a part that was
    carried out a failure is that of its items, and what comes behind them is not sent.
    """
    if not sizes and not _too_many(items, able):
        return await send(items)
    sizes = sizes or [0] * len(items)
    limit = _limit(able)
    results = {index: _refusal(size, limit) for index, size in enumerate(sizes) if size > limit}
    fitting = [index for index in range(len(items)) if index not in results]
    failure: StoreError | None = None
    for number, part in enumerate(parts(fitting, sizes, able)):
        if failure is not None:
            results.update(dict.fromkeys(part, _failed(_not_sent(failure))))
            continue
        try:
            answers = await _sent([items[index] for index in part], send)
        except StoreError as error:
            if number == 0:
                raise
            failure = error
            answers = [_failed(error)] * len(part)
        results.update(zip(part, answers, strict=True))
    return [results[index] for index in range(len(items))]


async def write_as_one(
    writes: Sequence[Write[Entry]],
    able: Capabilities,
    send: Send[Write[Entry], WriteResult],
) -> list[WriteResult]:
    """Write an atomic batch: never split; refused as a whole when an item of it is too large."""
    limit = _limit(able)
    sizes = [size_of(write.entry) for write in writes]
    if any(size > limit for size in sizes):
        return [
            _refusal(size, limit) if size > limit else WriteResult(WriteStatus.FAILED)
            for size in sizes
        ]
    return await send(writes)


def _too_many(items: Sequence[ItemT], able: Capabilities) -> bool:
    return 0 < able.max_batch_items < len(items)


async def _sent(part: Sequence[ItemT], send: Send[ItemT, T]) -> list[T]:
    answers = await send(part)
    if len(answers) != len(part):
        raise StoreError(StoreReason.PROTOCOL, f"sent {len(part)} items, got {len(answers)}")
    return answers


def _limit(able: Capabilities) -> float:
    """How many bytes an item may be, alone."""
    limits = (able.max_item_bytes, able.max_batch_bytes)
    return min((each for each in limits if each), default=math.inf)


def _refusal(size: int, limit: float) -> WriteResult:
    """Why an item must not be sent: alone it is above the limit."""
    return _failed(
        StoreError(
            StoreReason.ITEM_TOO_LARGE,
            f"{size} bytes, above {limit}",
            metadata={"limit_bytes": str(limit), "actual_bytes": str(size)},
        )
    )


def _failed(error: StoreError) -> WriteResult:
    return WriteResult(WriteStatus.FAILED, error)


def _not_sent(failure: StoreError) -> StoreError:
    """The failure as it concerns the parts behind it: nothing of these was written, for sure."""
    metadata = {name: value for name, value in failure.metadata.items() if name not in AMBIGUOUS}
    return StoreError(
        failure.reason,
        f"not sent, since a part before failed: {failure}",
        retryable=failure.retryable,
        retry_after=failure.retry_after,
        metadata=metadata,
    )


def _value_bytes(value: Value | Mapping[str, Value]) -> int:
    size, stack = 0, [value]
    while stack:
        each = stack.pop()
        if isinstance(each, str):
            size += len(each.encode())
        elif isinstance(each, bytes):
            size += len(each)
        elif isinstance(each, Mapping):
            size += sum(len(name.encode()) for name in each)
            stack += each.values()
        elif isinstance(each, list):
            stack += each
        else:
            size += _NUMBER_BYTES
    return size
