"""Writes, and what must not meet them.

A row whose vector is written anew gets another number in Weaviate, and is taken out of the indexes and
put in again. A read takes several steps, the first by the indexes and the last by the number: a row
that is written in between is missing from its answer, though it was there all the time. And what
deletes by a filter deletes what it has found by id, even if it was written again since.

So this process deletes by a filter only while none of its writes to the tenant is under way, some rows
at a time; and a read that lacks a row which was being written is done again in the same quiet. Of what
other gateways write at that moment, nobody here knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from memplane_adapters.contract import Address

Door: TypeAlias = tuple[str, str]
"""A collection and a tenant."""

Written: TypeAlias = Mapping[str, Address]
"""The rows of a write, by id."""


class Gates:
    """The gates of the tenants that are written to or read from now."""

    def __init__(self) -> None:
        self._gates: WeakValueDictionary[Door, _Gate] = WeakValueDictionary()

    @contextlib.asynccontextmanager
    async def writing(self, rows: Mapping[Door, Written]) -> AsyncIterator[None]:
        """Any number at once, but none while somebody wants to be alone."""
        gates = [(self._gate(door), written) for door, written in rows.items()]
        while not all(gate.is_open for gate, _ in gates):  # one may close while another opens
            for gate, _ in gates:
                await gate.opened()
        with contextlib.ExitStack() as stack:
            for gate, written in gates:
                stack.enter_context(gate.write(written))
            yield

    @contextlib.asynccontextmanager
    async def alone(self, door: Door) -> AsyncIterator[None]:
        """While no write is under way."""
        async with self._gate(door).alone():
            yield

    @contextlib.contextmanager
    def watching(self, door: Door) -> Iterator[Written]:
        """What is being written meanwhile: complete when it is left."""
        with self._gate(door).watch() as seen:
            yield seen

    def _gate(self, door: Door) -> _Gate:
        return self._gates.setdefault(door, _Gate())


class _Gate:
    def __init__(self) -> None:
        self._writes: Final[list[Written]] = []
        self._watches: Final[list[dict[str, Address]]] = []
        self._quiet: Final = asyncio.Event()
        self._quiet.set()
        self._open: Final = asyncio.Event()
        self._open.set()
        self._turn: Final = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether nobody is alone or wants to be."""
        return self._open.is_set()

    async def opened(self) -> None:
        while not self._open.is_set():
            await self._open.wait()

    @contextlib.contextmanager
    def write(self, written: Written) -> Iterator[None]:
        self._writes.append(written)
        self._quiet.clear()
        for watch in self._watches:
            watch.update(written)
        try:
            yield
        finally:
            _remove(self._writes, written)
            if not self._writes:
                self._quiet.set()

    @contextlib.contextmanager
    def watch(self) -> Iterator[Written]:
        seen: dict[str, Address] = {}
        for written in self._writes:
            seen.update(written)
        self._watches.append(seen)
        try:
            yield seen
        finally:
            _remove(self._watches, seen)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._turn:
            self._open.clear()
            try:
                await self._quiet.wait()
                yield
            finally:
                self._open.set()


def _remove(held: list[Written] | list[dict[str, Address]], it: Written) -> None:
    """The very one: others may be equal."""
    del held[next(index for index, one in enumerate(held) if one is it)]
