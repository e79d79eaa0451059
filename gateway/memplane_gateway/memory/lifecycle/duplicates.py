"""Near-duplicates: which memories of a namespace are kept, and which are merged into them.

Kept is what no kept memory of a higher rank is similar to; what is pinned is always kept. That says of
every memory what becomes of it, whatever order they are looked at in (it is the greedy choice in the
order of ranks): what is kept is similar to nothing else that is kept but by being pinned, and what is
merged is similar to what it is merged into. Merging one of them changes the fate of no other.

Similarity is the cosine, rounded, of the vectors as they are stored: no store's last bit decides.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from memplane_adapters.contract import (
    RELEVANCE_DIGITS,
    Address,
    Predicate,
    Query,
    Vector,
)
from memplane_gateway.deadline import is_late, remaining
from memplane_gateway.limits import SCAN_BYTES
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.search.weights import importance
from memplane_gateway.memory.shelf import Row, fields_of, open_row
from memplane_gateway.memory.vector_shelf import VectorShelf
from memplane_gateway.pacing import paced

SETTLED = 100
"""Memories whose neighbours are looked up to know what becomes of one; else it is left as it is."""

_FIRST_HITS = 8
_OVERFETCH = 4
_STORE_TOLERANCE = 2e-3
"""How far a store's score may be from the cosine that counts."""

Rank: TypeAlias = tuple[bool, float, int, tuple[tuple[str, ...], str]]


@dataclass(frozen=True, slots=True)
class Near:
    """A memory among its neighbours."""

    record: Record
    vector: Vector
    similarity: float = 1.0

    @property
    def address(self) -> Address:
        """Which one."""
        return self.record.address

    @property
    def pinned(self) -> bool:
        """Whether it is kept, whatever is similar to it."""
        return self.record.content.pinned

    @property
    def rank(self) -> Rank:
        """The lowest is kept: pinned, important, new, first by place."""
        record = self.record
        important = importance(record.content.importance)
        return (not record.content.pinned, -important, -record.time, record.address.place)

    @property
    def turn(self) -> tuple[int, tuple[tuple[str, ...], str]]:
        """The newest comes first in a walk."""
        return (-self.record.time, self.record.address.place)


def near_of(row: Row) -> Near | None:
    """A row with its vector; None where it has none."""
    return None if row.vector is None else Near(row.record, row.vector)


def cosine(left: Vector, right: Vector) -> float:
    """The cosine of two vectors, rounded as in ranking."""
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    return round(float(a @ b / np.sqrt((a @ a) * (b @ b))), RELEVANCE_DIGITS)


class Duplicates:
    """Finds near-duplicates on a shelf, and remembers for one call what is kept."""

    def __init__(
        self, shelf: VectorShelf, query: Query, residual: Predicate | None, min_similarity: float
    ) -> None:
        """`query` has the scope, to be narrowed to one namespace, and the filter, and is exact."""
        self.compared = 0
        """Memories whose neighbours were looked up."""
        self.interrupted = False
        """Whether time was over before it was known what becomes of the last memory."""
        self._time_left = remaining()
        self._shelf = shelf
        self._query = replace(query, vectors=True, max_bytes=SCAN_BYTES)
        self._residual = residual
        self._least = round(min_similarity, RELEVANCE_DIGITS)
        self._fates: dict[Address, Near] = {}
        """What a memory is merged into: itself, where it is kept."""
        self._given: set[Address] = set()
        self._left: set[Address] = set()
        """Of these it takes too long to find out, unless a kept one turns out to have them."""

    async def merged_into(self, near: Near) -> list[Near]:
        """What is to be merged into a memory, the newest first; nothing if it is not kept.

        None comes twice, though it may be similar to more than one that is kept.
        """
        known = near.address in self._fates
        if (near.address in self._left and not known) or not self._kept(near, unknown=True):
            return []
        around = await self._around(near)
        if not known:
            await self._settle(near, around)
            if not self._kept(near):
                return []
        found = [each for each in around if self._may_have(near, each)]
        self._given.update(each.address for each in found)
        return sorted(found, key=lambda each: each.turn)

    def _kept(self, near: Near, *, unknown: bool = False) -> bool:
        """Whether a memory is kept; of what nobody knows yet, `unknown`."""
        fate = self._fates.get(near.address)
        return unknown if fate is None else fate.address == near.address

    def _may_have(self, near: Near, other: Near) -> bool:
        """Whether nothing else has the other one, or is to have it when its turn comes."""
        if other.pinned or other.address in self._given:
            return False
        fate = self._fates.get(other.address, near)
        return fate.address == near.address or fate.turn < near.turn

    async def _settle(self, near: Near, around: list[Near]) -> None:
        """Find what becomes of a memory, and before it of those of a higher rank that this takes.

        Where that takes too many or too long, all that is under way is left.
        """
        under_way, begun = [_Open(near, around)], self.compared
        while under_way:
            other = self._judged(under_way[-1])
            if other is None:
                under_way.pop()
                continue
            self.interrupted = is_late(self._time_left)
            many = self.compared - begun >= SETTLED or other.address in self._left
            if many or self.interrupted:
                self._left.update(each.near.address for each in under_way)
                return
            under_way.append(_Open(other, await self._around(other)))

    def _judged(self, current: _Open) -> Near | None:
        """Settles a memory, if all is known that it takes; else says which has to be settled first."""
        near = current.near
        for other in () if near.pinned else current.higher:
            if not other.pinned and other.address not in self._fates:
                current.higher = itertools.chain((other,), current.higher)
                return other
            if other.pinned or self._kept(other):
                self._fates[near.address] = other
                return None
        self._fates[near.address] = near
        for each in current.around:
            if not each.pinned:
                self._fates.setdefault(each.address, near)
        return None

    async def _around(self, near: Near) -> list[Near]:
        """All that is similar to a memory in its own namespace, without itself."""
        self.compared += 1
        namespace = near.address.namespace
        query = replace(
            self._query,
            scope=replace(self._query.scope, namespace=namespace, exact=True),
            vector=near.vector,
            limit=_FIRST_HITS,
        )
        while True:
            result = await self._shelf.query(query)
            hits = result.hits
            beyond = bool(hits) and hits[-1].score < self._least - _STORE_TOLERANCE
            if beyond or len(hits) < query.limit:
                break
            query = replace(query, limit=query.limit * _OVERFETCH)
        found: list[Near] = []
        async for hit in paced(hits):
            if hit.score < self._least - _STORE_TOLERANCE or hit.vector is None:
                continue
            row = open_row(self._shelf.codec, hit, query.scope)
            if row is None or row.record.address == near.address:
                continue
            if self._residual is not None and not self._residual(fields_of(row.record)):
                continue
            similarity = cosine(near.vector, hit.vector)
            if similarity >= self._least:
                found.append(Near(row.record, hit.vector, similarity))
        return found


@dataclass(slots=True)
class _Open:
    """A memory that is being settled."""

    near: Near
    around: list[Near]
    higher: Iterator[Near] = field(init=False)
    """Those around it of a higher rank, the highest first, that have not been asked yet."""

    def __post_init__(self) -> None:
        rank = self.near.rank
        above = (each for each in self.around if each.rank < rank)
        self.higher = iter(sorted(above, key=lambda each: each.rank))
