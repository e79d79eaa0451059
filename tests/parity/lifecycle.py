"""Requests that decide which memories go: what stores answer them has to be the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from tests.parity.requests import Shown, Where
from tests.parity.sides import Side
from tests.parity.strategies import brief, of

from memplane import Outcome, Ref

_DIGITS = 4
"""Of a similarity: stores round vectors."""


@dataclass(frozen=True, repr=False)
class Forgetting(Shown):
    """A forget, or what one would delete."""

    where: Where
    older_than: float | None = None
    inactive_for: float | None = None
    importance_below: float | None = None
    half_life: float | None = None
    dry_run: bool = False
    number: int = 0

    async def ask(self, side: Side) -> Any:
        """Send it; the receipt in the form of the results of other writes."""
        done = await side.scope(self.where.place).forget(
            **self.where.given(),
            older_than=self.older_than,
            inactive_for=self.inactive_for,
            importance_below=self.importance_below,
            half_life=self.half_life,
            dry_run=self.dry_run,
            request_id=side.request_id("forget", self.number),
        )
        told = [
            [*_place(each.ref, side), each.age, each.inactive_for, each.importance]
            for each in done.memories
        ]
        return _receipt(told, done.count, replayed=done.replayed, dry_run=self.dry_run)


@dataclass(frozen=True, repr=False)
class Merging(Shown):
    """A consolidation, or what one would merge."""

    where: Where
    min_similarity: float | None = None
    dry_run: bool = False
    number: int = 0

    async def ask(self, side: Side) -> Any:
        """Send it; the receipt as above."""
        done = await side.scope(self.where.place).consolidate(
            **self.where.given(),
            min_similarity=self.min_similarity,
            dry_run=self.dry_run,
            request_id=side.request_id("consolidate", self.number),
        )
        assert not done.conflicts, "nobody else writes"
        told = [
            [
                *_place(group.kept, side),
                [[each.ref.key, round(each.similarity, _DIGITS)] for each in group.merged],
            ]
            for group in done.groups
        ]
        return _receipt(told, done.merged_count, replayed=done.replayed, dry_run=self.dry_run)


def forgettings(wheres: st.SearchStrategy[Where]) -> st.SearchStrategy[Forgetting]:
    """Forgets; half of them only look. Some have no condition, or one too few."""
    periods = st.sampled_from((None, None, 0.5, 50.0, 4000.0))
    return brief(
        of(
            Forgetting,
            wheres,
            periods,
            periods,
            st.sampled_from((None, 0.25, 0.3, 0.6, 1.0)),
            st.sampled_from((None, None, 100.0, 1e6)),
            st.booleans(),
        )
    )


def mergings(wheres: st.SearchStrategy[Where]) -> st.SearchStrategy[Merging]:
    """Consolidations; half of them only look."""
    return brief(of(Merging, wheres, st.sampled_from((None, 0.7, 0.6)), st.booleans()))


def _place(ref: Ref, side: Side) -> list[Any]:
    labels = [label.removeprefix(side.label) for label in ref.namespace[:1]]
    return [[*labels, *ref.namespace[1:]], ref.key]


def _receipt(told: Sequence[Any], count: int, *, replayed: bool, dry_run: bool) -> Any:
    outcome = Outcome.UNCHANGED if dry_run else Outcome.DELETED
    version = {"count": count, "told": told}
    return [
        {"ref": None, "outcome": outcome, "error": None, "version": version, "replayed": replayed}
    ]
