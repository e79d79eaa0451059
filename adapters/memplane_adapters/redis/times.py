"""Walks in the order of a time: the indexes of all namespaces of a scope, merged.

An index holds the latest first, and ties by key. So downwards it is read as it stands. Upwards it is read
backwards, which turns ties round: they are put right, or read once more in the other direction.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, TypeAlias

from memplane_adapters.contract import Cursor, Scan
from memplane_adapters.redis import layout
from memplane_adapters.redis.connection import Command
from memplane_adapters.redis.engine import Engine
from memplane_adapters.redis.layout import NUMBER_BYTES
from memplane_adapters.redis.places import SpaceOf, Spot
from memplane_adapters.redis.registry import Listed

_LEAST_SPOTS: Final = 4
_MOST_SPOTS: Final = 512
_MOST_COMMANDS: Final = 1_000

_Rank: TypeAlias = "tuple[int, tuple[str, ...], str]"


async def times(
    engine: Engine,
    scan: Scan,
    listed: AsyncIterator[list[Listed]],
    space_of: SpaceOf,
    *,
    number: int,
    empty: list[Listed],
) -> AsyncGenerator[list[Spot], None]:
    """Spots behind the cursor, in order, in parts; `number` are likely to be asked for.

    Namespaces that are seen to have none go to `empty`.
    """
    found = [each async for part in listed for each in part]
    width = min(max(_LEAST_SPOTS, 2 * number // max(len(found), 1) + 1), number, _MOST_SPOTS)
    indexes = [
        _Index(space_of(scan.scope, each.namespace).in_order(scan.order), each.namespace, scan)
        for each in found
    ]
    dry = indexes
    first = scan.after is None
    heads: list[tuple[_Rank, int, _Index]] = []
    while True:
        await _fill(engine, dry, width)
        for index in dry:
            if index.spots:
                heapq.heappush(heads, (index.rank, id(index), index))
        if first:
            empty += [each for each, index in zip(found, indexes, strict=True) if not index.spots]
            first = False
        if not heads:
            return
        part: list[Spot] = []
        dry = []
        while heads and not dry and len(part) < number:
            index = heads[0][2]
            part.append(index.spots.popleft())
            if index.spots:
                heapq.heapreplace(heads, (index.rank, id(index), index))
                continue
            heapq.heappop(heads)
            if index.has_more:
                dry = [index]
        yield part


async def _fill(engine: Engine, indexes: list[_Index], width: int) -> None:
    """Read on in each of them until it has spots, or has none."""
    while indexes:
        for start in range(0, len(indexes), _MOST_COMMANDS):
            some = indexes[start : start + _MOST_COMMANDS]
            answers = await engine.read([index.command(width) for index in some])
            for index, members in zip(some, answers, strict=True):
                index.take(members, width)
        indexes = [index for index in indexes if not index.spots and index.has_more]


class _Index:
    """How far the index of one namespace has been read."""

    def __init__(self, key: bytes, namespace: tuple[str, ...], scan: Scan) -> None:
        self._key = key
        self._namespace = namespace
        self._descending = scan.descending
        self.spots: deque[Spot] = deque()
        self._ties: tuple[bytes, bytes] | None = None
        """A range of members of one time, to be read before the rest, upwards."""
        self._rest = b"-" if scan.descending else b"+"
        """Where the rest begins."""
        self.has_more = True
        if scan.after is not None:
            self._start(scan.after)

    @property
    def rank(self) -> _Rank:
        """What the next spot is merged by: ties go by place, upwards in both directions."""
        spot = self.spots[0]
        return -spot.value if self._descending else spot.value, spot.namespace, spot.key

    def command(self, width: int) -> Command:
        """What reads on."""
        limit = (b"LIMIT", 0, width)
        if self._ties is not None:
            return (b"ZRANGEBYLEX", self._key, *self._ties, *limit)
        if self._descending:
            return (b"ZRANGEBYLEX", self._key, self._rest, b"+", *limit)
        return (b"ZREVRANGEBYLEX", self._key, self._rest, b"-", *limit)

    def take(self, members: list[bytes], width: int) -> None:
        """What was read."""
        full = len(members) == width
        if self._ties is not None:
            self._ties = (b"(" + members[-1], self._ties[1]) if full else None
        elif self._descending:
            self.has_more = full
            self._rest = b"(" + members[-1] if full else self._rest
        else:
            self.has_more = full
            members = self._turned(members, full=full)
        self.spots += (self._spot(member) for member in members)

    def _turned(self, members: list[bytes], *, full: bool) -> list[bytes]:
        """Members that were read backwards, with ties the right way round.

        Of the last time there may be more: unless they are all, its ties are left to be read again.
        """
        if full:
            last = members[-1][:NUMBER_BYTES]
            self._rest = b"(" + last
            self._ties = (b"[" + last, b"(" + layout.after(last))
            members = [member for member in members if member[:NUMBER_BYTES] != last]
        return sorted(
            members, key=lambda member: (-int.from_bytes(member[:NUMBER_BYTES], "big"), member)
        )

    def _start(self, after: Cursor) -> None:
        number = layout.latest_first(after.value)
        key = after.key.encode()
        if self._namespace == after.namespace:
            ties = b"(" + number + key
        elif self._namespace > after.namespace:
            ties = b"[" + number
        else:
            ties = b""  # its ties come before the cursor
        if self._descending:
            self._rest = ties or b"[" + layout.after(number)
        else:
            self._rest = b"(" + number
            self._ties = (ties, b"(" + layout.after(number)) if ties else None

    def _spot(self, member: bytes) -> Spot:
        key = member[NUMBER_BYTES:].decode()
        return Spot(layout.time_of(member), self._namespace, key)
