"""Writes and deletes: one script a namespace, all scripts of a batch in one exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from memplane_adapters.contract import (
    Address,
    Delete,
    Entry,
    StoreError,
    StoreReason,
    Write,
    WriteResult,
    WriteStatus,
)
from memplane_adapters.kit.errors import failure
from memplane_adapters.redis import layout, registry, rows, scripts
from memplane_adapters.redis.acks import Ack, Acks
from memplane_adapters.redis.connection import Command, Reply
from memplane_adapters.redis.engine import Engine, run
from memplane_adapters.redis.layout import Space
from memplane_adapters.redis.settings import RedisSettings

ItemT = TypeVar("ItemT", Write[Entry], Delete)

_ROUNDS: Final = 100
"""How often a namespace is registered for one write while others retire it."""
_THREAD_BYTES: Final = 65_536
"""From so many bytes on, records are compressed in a thread."""
_STATUSES: Final = {
    scripts.APPLIED: WriteStatus.APPLIED,
    scripts.CONFLICT: WriteStatus.CONFLICT,
    scripts.MISSING: WriteStatus.MISSING,
    scripts.UNDONE: WriteStatus.FAILED,
}
_DONE: Final = frozenset({scripts.APPLIED, scripts.MISSING})
_NOT_TRIED: Final = WriteResult(WriteStatus.FAILED)
"""Not applied because another one of its atomic batch was not."""

_Place: TypeAlias = "tuple[str, str, tuple[str, ...]]"


@dataclass(slots=True)
class _Group:
    """What a batch does in one namespace."""

    address: Address
    """Of its first item."""
    space: Space
    indexes: list[int]
    """Where its items stand in the batch."""
    arguments: list[bytes]
    rows: list[bytes]

    def put(self, *, atomic: bool, mark: bytes = b"", token: bytes = b"") -> Command:
        """The command that writes it, and with a token registers the namespace."""
        head = [b"1" if atomic else b"", mark, token]
        return run(scripts.PUT, [*self.space.all, *self.rows], [*head, *self.arguments])

    def delete(self, *, atomic: bool) -> Command:
        """The command that deletes it."""
        head = [b"1" if atomic else b""]
        return run(scripts.DELETE, [*self.space.all, *self.rows], [*head, *self.arguments])


class Writer:
    """Writes of one store."""

    def __init__(self, engine: Engine, acks: Acks, settings: RedisSettings) -> None:
        self._engine = engine
        self._acks = acks
        self._prefix = settings.prefix
        self._compress_above = settings.compress_above
        self.settle = acks.settle

    async def put(self, writes: Sequence[Write[Entry]], *, atomic: bool) -> list[WriteResult]:
        """Write entries; each namespace is one script."""
        values = await self._values([write.entry for write in writes])
        refused = {
            index: WriteResult(WriteStatus.FAILED, value)
            for index, value in enumerate(values)
            if isinstance(value, StoreError)
        }
        if refused and atomic:
            return [refused.get(index, _NOT_TRIED) for index in range(len(writes))]
        now = time.time_ns() // 1000

        def arguments(index: int) -> list[bytes]:
            write, value = writes[index], values[index]
            assert isinstance(value, bytes), "the others were refused"
            dropped = rows.dropped_at(write.entry.expire_time, now)
            return [write.entry.address.key.encode(), _expected(write), dropped, value]

        fitting = [index for index in range(len(writes)) if index not in refused]
        addresses = [write.entry.address for write in writes]
        groups = self._grouped(addresses, fitting, arguments, atomic=atomic)
        replies, replicas = await self._acked(groups, self._put(groups, atomic=atomic))
        return _results(len(writes), groups, replies, replicas, refused)

    async def delete(
        self, deletes: Sequence[Delete], *, atomic: bool, wait: bool = True
    ) -> list[WriteResult]:
        """Delete rows; each namespace is one script.

        Who does not let it wait for what the settings say calls `settle` afterwards.
        """

        def arguments(index: int) -> list[bytes]:
            return [deletes[index].address.key.encode(), _expected(deletes[index])]

        addresses = [delete.address for delete in deletes]
        groups = self._grouped(addresses, range(len(deletes)), arguments, atomic=atomic)
        work = self._engine.write([group.delete(atomic=atomic) for group in groups])
        replies, replicas = await self._acked(groups, work) if wait else (await work, 0)
        return _results(len(deletes), groups, replies, replicas, {})

    async def _values(self, entries: Sequence[Entry]) -> list[bytes | StoreError]:
        def work() -> list[bytes | StoreError]:
            return [self._value(entry) for entry in entries]

        sizes = [len(entry.record) for entry in entries]
        if sum(size for size in sizes if size > self._compress_above) < _THREAD_BYTES:
            return work()
        return await asyncio.to_thread(work)

    def _value(self, entry: Entry) -> bytes | StoreError:
        try:
            layout.space_of(self._prefix, entry.address).row(entry.address.key)
            return rows.encode(entry, self._compress_above)
        except ValueError as error:  # NaN, an unpaired surrogate
            return StoreError(StoreReason.PROTOCOL, f"{entry.address} cannot be stored: {error}")

    def _grouped(
        self,
        addresses: Sequence[Address],
        indexes: Sequence[int],
        arguments: Callable[[int], list[bytes]],
        *,
        atomic: bool,
    ) -> list[_Group]:
        """The items by namespace, in the order of the batch."""
        groups: dict[_Place, _Group] = {}
        for index in indexes:
            address = addresses[index]
            place = (address.tenant, address.kind.value, address.namespace)
            group = groups.get(place)
            if group is None:
                space = layout.space_of(self._prefix, address)
                group = groups[place] = _Group(address, space, [], [], [])
            group.indexes.append(index)
            group.rows.append(group.space.row(address.key))
            group.arguments += arguments(index)
        if atomic and len(groups) > 1:
            raise StoreError(
                StoreReason.UNSUPPORTED, "an atomic batch has to stay inside one namespace"
            )
        return list(groups.values())

    async def _put(self, groups: Sequence[_Group], *, atomic: bool) -> list[Reply]:
        """The answers of the scripts; namespaces are registered as need be."""
        replies = await self._engine.write([group.put(atomic=atomic) for group in groups])
        for _ in range(_ROUNDS):
            strange = [number for number, reply in enumerate(replies) if isinstance(reply, bytes)]
            if not strange:
                break
            marks = {number: replies[number] for number in strange}
            again = await self._register(groups, marks, atomic=atomic)
            replies = [again.get(number, reply) for number, reply in enumerate(replies)]
        return replies

    async def _acked(
        self, groups: Sequence[_Group], work: Awaitable[list[Reply]]
    ) -> tuple[list[Reply], int]:
        """The answers of work, when that is as safe as the settings say, and how many replicas have it.

        A TIMEOUT stands for what was done but is not known to be fsynced.
        """
        if not self._acks.wanted:
            return await work, 0
        try:
            with self._engine.under_way():
                replies = await work
                ack = await self._acks.ask() if any(map(_is_done, replies)) else Ack()
        except BaseException:  # whoever asks again has to wait
            self._acks.doubt(row for group in groups for row in group.rows)
            raise
        if ack.problem:
            replies = [
                failure(StoreReason.TIMEOUT, ack.problem) if _is_done(reply) else reply
                for reply in replies
            ]
        for group, reply in zip(groups, replies, strict=True):
            if isinstance(reply, StoreError) and reply.reason not in _WRITTEN_NOTHING:
                self._acks.doubt(group.rows)
        return replies, ack.replicas

    async def _register(
        self, groups: Sequence[_Group], marks: dict[int, bytes], *, atomic: bool
    ) -> dict[int, Reply]:
        """Register namespaces and write into them again; the answers by number."""
        tokens = {number: registry.token() for number in marks}
        commands: list[Command] = []
        for number, token in tokens.items():
            address = groups[number].address
            commands += registry.registering(
                self._prefix, address.tenant, address.kind, address.namespace, token
            )
        answers = await self._engine.write(commands)
        failed: dict[int, Reply] = {}
        for place, number in enumerate(marks):
            for answer in answers[2 * place : 2 * place + 2]:
                if isinstance(answer, StoreError):
                    failed[number] = _nothing_written(answer)
        ready = [number for number in marks if number not in failed]
        replies = await self._engine.write(
            [
                groups[number].put(atomic=atomic, mark=marks[number], token=tokens[number])
                for number in ready
            ]
        )
        return failed | dict(zip(ready, replies, strict=True))


def _results(
    number: int,
    groups: Sequence[_Group],
    replies: Sequence[Reply],
    replicas: int,
    refused: dict[int, WriteResult],
) -> list[WriteResult]:
    """What became of each item. Raises the failure when nothing can have been written."""
    results = dict(refused)
    errors: list[StoreError] = []
    for group, reply in zip(groups, replies, strict=True):
        if isinstance(reply, bytes | StoreError):
            error = _retired_again() if isinstance(reply, bytes) else reply
            errors.append(error)
            answers = [WriteResult(WriteStatus.FAILED, error)] * len(group.indexes)
        else:
            answers = [_result(status, replicas) for status in reply]
        if len(answers) != len(group.indexes):
            raise StoreError(
                StoreReason.PROTOCOL,
                f"a script answered for {len(answers)} of {len(group.indexes)} items",
            )
        results.update(zip(group.indexes, answers, strict=True))
    if errors and len(errors) == len(groups):
        raise min(errors, key=lambda error: error.reason in _WRITTEN_NOTHING)
    return [results[index] for index in range(number)]


_WRITTEN_NOTHING: Final = frozenset({StoreReason.UNAVAILABLE, StoreReason.EXHAUSTED})


def _is_done(reply: Reply) -> bool:
    """Whether a script says of an item that it is now as it was to be."""
    return isinstance(reply, list) and not _DONE.isdisjoint(reply)


def _result(status: int, replicas: int) -> WriteResult:
    there = _STATUSES[status]
    done = there in (WriteStatus.APPLIED, WriteStatus.MISSING)
    return WriteResult(there, replicas=replicas if done else 0)


def _retired_again() -> StoreError:
    return failure(StoreReason.UNAVAILABLE, "others retire the namespace again and again")


def _nothing_written(error: StoreError) -> StoreError:
    """A failure to register: of the rows nothing was written, whatever became of the registry."""
    if error.reason in (StoreReason.TIMEOUT, StoreReason.INTERRUPTED):
        return failure(StoreReason.UNAVAILABLE, f"while registering a namespace: {error}")
    return error


def _expected(item: Write[Entry] | Delete) -> bytes:
    return b"" if item.expected is None else layout.revision_bytes(item.expected)
