"""Going through a collection that others made, page by page, and making memories of its rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Final

from memplane_adapters.contract import ForeignCollection, ForeignFacts
from memplane_gateway.adopting.adoption import Adoption
from memplane_gateway.adopting.checking import read_mapped
from memplane_gateway.adopting.fields import ID
from memplane_gateway.adopting.mapping import Vectors
from memplane_gateway.adopting.rows import Mapped, RowProblem, map_row
from memplane_gateway.memory.model import Put
from memplane_gateway.pacing import paced

MAX_PROBLEMS: Final = 1000
_MAX_REASONS: Final = 100
_OTHERS: Final = "other reasons"


class Reading:
    """One pass over a collection; knows what did not become a memory, and why."""

    def __init__(
        self, adoption: Adoption, collection: ForeignCollection, facts: ForeignFacts
    ) -> None:
        self.read = 0
        """Rows so far."""
        self.refused = 0
        """How many of them became no memory."""
        self.problems: list[RowProblem] = []
        """Of these, the first 1,000."""
        self.reasons: Counter[str] = Counter()
        """How often each reason was met; the first 100 different ones, and the others together."""
        self._adoption = adoption
        self._collection = collection
        self._metric = facts.metric
        # The vendor's ids differ from one another; what stands in a field may stand there twice.
        key = adoption.mapping.key
        self._keys: set[int] | None = None if key.own and key.path == (ID,) else set()

    async def memories(self, rows: int | None = None) -> AsyncIterator[Mapped]:
        """The memories of the first so many rows; None: of all. Raises StoreError."""
        async for mapped, _ in self.puts(rows):
            yield mapped

    async def puts(self, rows: int | None = None) -> AsyncIterator[tuple[Mapped, Put]]:
        """The memories, each with what a gateway would take it as; else as `memories`."""
        mapping, after = self._adoption.mapping, ""
        while True:
            page = await self._collection.page(after, vectors=mapping.vector is Vectors.KEEP)
            async for row in paced(page.rows):
                if self.read == rows:
                    return
                self.read += 1
                mapped = map_row(row, mapping, self._metric)
                if isinstance(mapped, Mapped):
                    put = read_mapped(mapped, self._adoption.kind)
                    if isinstance(put, Put):
                        put = self._twice(mapped) or put
                    if isinstance(put, Put):
                        yield mapped, put
                        continue
                    mapped = put
                self.refuse(mapped)
            after = page.next
            if not after:
                return

    def refuse(self, problem: RowProblem) -> None:
        """Notes a row that becomes no memory."""
        self.refused += 1
        reason = str(problem)
        known = reason in self.reasons or len(self.reasons) < _MAX_REASONS
        self.reasons[reason if known else _OTHERS] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def _twice(self, mapped: Mapped) -> RowProblem | None:
        """Remembers some 70 bytes a row; by chance two of a million rows meet once in 30 million."""
        if self._keys is None:
            return None
        parts = (*mapped.namespace, mapped.key)
        told_apart = "".join(f"{len(part)}:{part}" for part in parts).encode()
        digest = int.from_bytes(hashlib.blake2b(told_apart, digest_size=8).digest())
        if digest in self._keys:
            return RowProblem(mapped.row, "key", "another row has the same key in this namespace")
        self._keys.add(digest)
        return None
