"""What is known of a route's entries without reading them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from memplane_adapters.contract import Address, Scope
from memplane_gateway.outbox.entries import ROOM_BYTES, Spooled, Standing


@dataclass(frozen=True, slots=True)
class Known:
    """An entry without what it writes; `address` None: its bytes are damaged."""

    id: int
    address: Address | None
    time: int
    size: int
    batch: int
    dead: bool

    @classmethod
    def of(cls, entry: Spooled, size: int) -> Known:
        """What is known of an entry of so many bytes."""
        dead = entry.death is not None
        return cls(entry.id, entry.address, entry.time, size + ROOM_BYTES, entry.batch, dead)


class Index:
    """The entries of one route, in the order of their ids."""

    def __init__(self) -> None:
        self._waiting: dict[int, Known] = {}
        self._dead: dict[int, Known] = {}
        self._by_address: dict[Address, list[int]] = {}
        self._namespaces: dict[str, Counter[tuple[str, ...]]] = {}
        self._batches: dict[int, list[int]] = {}
        self._bytes = 0

    def add(self, known: Known) -> None:
        """An entry more, behind all others or in place of the one with its id."""
        self.remove(known.id)
        self._bytes += known.size
        if known.dead or known.address is None:
            self._dead[known.id] = known
            return
        last = next(reversed(self._waiting), 0)
        self._waiting[known.id] = known
        if known.id < last:  # a dead letter that waits again
            self._waiting = dict(sorted(self._waiting.items()))
        self._by_address.setdefault(known.address, []).append(known.id)
        names = self._namespaces.setdefault(known.address.tenant, Counter())
        names[known.address.namespace] += 1
        if known.batch:
            self._batches.setdefault(known.batch, []).append(known.id)

    def remove(self, id: int) -> None:
        """Forget an entry, if it is there."""
        known = self._dead.pop(id, None) or self._waiting.pop(id, None)
        if known is None:
            return
        self._bytes -= known.size
        if known.dead or known.address is None:
            return
        ids = self._by_address[known.address]
        ids.remove(id)
        if not ids:
            del self._by_address[known.address]
        names = self._namespaces[known.address.tenant]
        names[known.address.namespace] -= 1
        if not names[known.address.namespace]:
            del names[known.address.namespace]
        if known.batch:
            self._batches[known.batch].remove(id)
            if not self._batches[known.batch]:
                del self._batches[known.batch]

    def newest(self, address: Address) -> int | None:
        """The last entry of a memory that waits."""
        ids = self._by_address.get(address)
        return max(ids) if ids else None

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

    def listed(self, *, dead: bool, after: int, limit: int) -> list[int]:
        """Entries behind an id; with `dead` the dead letters alone."""
        ids = self._dead if dead else {**self._dead, **self._waiting}
        return sorted(each for each in ids if each > after)[:limit]

    def get(self, id: int) -> Known | None:
        """What is known of an entry."""
        return self._waiting.get(id) or self._dead.get(id)

    def __bool__(self) -> bool:
        """Whether something waits."""
        return bool(self._waiting)

    def __iter__(self) -> Iterator[Known]:
        """All that waits."""
        return iter(self._waiting.values())

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
