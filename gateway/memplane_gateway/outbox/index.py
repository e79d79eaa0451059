"""What is known of a route's entries without reading them."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from memplane_adapters.contract import Address, Scope
from memplane_gateway.outbox.entries import ROOM_BYTES, Spooled, Standing

KeyT = TypeVar("KeyT")


@dataclass(frozen=True, slots=True)
class Known:
    """An entry without what it writes."""

    id: int
    address: Address | None
    """None: its bytes are damaged, and nobody knows."""
    time: int
    size: int
    batch: int
    dead: bool
    damaged: bool = False

    @classmethod
    def of(cls, entry: Spooled, size: int, *, dead: bool) -> Known:
        """What is known of an entry of so many bytes."""
        return cls(entry.id, entry.address, entry.time, size + ROOM_BYTES, entry.batch, dead)


class Index:
    """The entries of one route, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[int, Known] = {}
        self._dead: dict[int, Known] = {}
        self._by_address: dict[Address, list[int]] = {}
        self._broken: dict[Address, int] = {}
        self._namespaces: dict[str, Counter[tuple[str, ...]]] = {}
        self._batches: dict[int, list[int]] = {}
        self._bytes = 0

    def add(self, known: Known) -> None:
        """An entry more, behind all others; what was known of its id is forgotten."""
        self.remove(known.id)
        self._bytes += known.size
        if known.dead or known.address is None:
            self._dead[known.id] = known
            if known.damaged and known.address is not None:
                self._broken[known.address] = known.id
            return
        self._waiting[known.id] = known
        self._by_address.setdefault(known.address, []).append(known.id)
        names = self._namespaces.setdefault(known.address.tenant, Counter())
        names[known.address.namespace] += 1
        if known.batch:
            self._batches.setdefault(known.batch, []).append(known.id)

    def remove(self, id: int) -> None:
        """Forget an entry, if it is there."""
        known = self._dead.pop(id, None)
        if known is not None:
            self._bytes -= known.size
            if known.address is not None and self._broken.get(known.address) == id:
                del self._broken[known.address]
            return
        known = self._waiting.pop(id, None)
        if known is None:
            return
        assert known.address is not None, "only dead letters are damaged"
        self._bytes -= known.size
        _take(self._by_address, known.address, id)
        names = self._namespaces[known.address.tenant]
        names[known.address.namespace] -= 1
        if not names[known.address.namespace]:
            del names[known.address.namespace]
        if not names:
            del self._namespaces[known.address.tenant]
        if known.batch:
            _take(self._batches, known.batch, id)

    def newest(self, address: Address) -> int | None:
        """The last entry of a memory that waits, or one that did when it was found to be damaged."""
        ids = self._by_address.get(address)
        return ids[-1] if ids else self._broken.get(address)

    def touches(self, scope: Scope) -> bool:
        """Whether something waits that belongs to a scope."""
        names = self._namespaces.get(scope.tenant)
        if not names:
            return False
        if scope.exact:
            return scope.namespace in names
        length = len(scope.namespace)
        return any(name[:length] == scope.namespace for name in names)

    def next_batch(self, limit: int, max_bytes: int) -> list[int]:
        """The entries to carry out next: the first ones, no memory twice, an atomic call by itself.

        Of others `limit` at most, and about `max_bytes`.
        """
        batch: list[int] = []
        size = 0
        seen: set[Address | None] = set()
        for known in self._waiting.values():
            if known.batch and not batch:
                return list(self._batches[known.batch])
            full = len(batch) == limit or size >= max_bytes
            if known.batch or known.address in seen or full:
                break
            batch.append(known.id)
            size += known.size
            seen.add(known.address)
        return batch

    def listed(self, *, dead: bool, after: int, limit: int, max_bytes: int) -> list[int]:
        """Entries behind an id, by their ids: `limit` at most, and about `max_bytes`."""
        kinds = (self._dead,) if dead else (self._dead, self._waiting)
        ids = heapq.nsmallest(limit, (each for kind in kinds for each in kind if each > after))
        size = 0
        for number, each in enumerate(ids, start=1):
            size += self.size(each)
            if size >= max_bytes:
                return ids[:number]
        return ids

    def get(self, id: int) -> Known | None:
        """What is known of an entry."""
        return self._waiting.get(id) or self._dead.get(id)

    def size(self, id: int) -> int:
        """About how many bytes an entry takes; 0 for one that is not there."""
        known = self.get(id)
        return 0 if known is None else known.size

    @property
    def standing(self) -> Standing:
        """The figures."""
        oldest = next(iter(self._waiting.values()), None)
        return Standing(
            waiting=len(self._waiting),
            dead=len(self._dead),
            size_bytes=self._bytes,
            oldest=oldest.time if oldest is not None else None,
        )


def _take(lists: dict[KeyT, list[int]], key: KeyT, id: int) -> None:
    """Take an id out of the list of a key."""
    lists[key].remove(id)
    if not lists[key]:
        del lists[key]
