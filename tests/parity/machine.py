"""The state machine: writes, reads, refusals and passing time, put to all stores at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    get_state_machine_test,
    initialize,
    precondition,
    rule,
)
from tests.parity.families import KEY_VALUES, Family
from tests.parity.reads import GetMany, Listing, NextPage
from tests.parity.requests import DeleteMany, PutMany, UpdateMany
from tests.parity.sides import Request, Table

from memplane import Outcome

STEPS, SMALL_STEPS = 20, 5
"""Steps of an example."""


def own(name: str) -> st.SearchStrategy[Any]:
    """The strategy of that name of the family that the machine is about."""
    return st.runner().flatmap(lambda machine: getattr(machine.family, name))


class Parity(RuleBasedStateMachine):
    """Every rule puts one request to all stores, and fails where their answers differ."""

    def __init__(self, table: Table, family: Family, *, small: bool = False) -> None:
        super().__init__()
        self.family = family
        self.small = small
        self._table = table
        self._number = 0
        self._last: Request | None = None
        self._first_answer: Any = None
        table.begin()

    def _written(self, make: Callable[[int], Request]) -> None:
        self._number += 1
        self._last = make(self._number)
        self._first_answer = self._table.put(self._last)

    @initialize(
        rows=st.runner().flatmap(
            lambda machine: (
                machine.family.small_beginnings if machine.small else machine.family.beginnings
            )
        )
    )
    def begin(self, rows: Sequence[int]) -> None:
        """Memories by their numbers in the population."""
        if rows:
            population = self.family.population
            self._written(lambda number: PutMany([population[row] for row in rows], number))

    @rule(items=own("items"))
    def put(self, items: Any) -> None:
        """Put memories."""
        self._written(lambda number: PutMany(items, number))

    @rule(changes=own("changes"))
    def update(self, changes: Any) -> None:
        """Update memories."""
        self._written(lambda number: UpdateMany(changes, number))

    @rule(removals=own("removals"))
    def delete(self, removals: Any) -> None:
        """Delete memories."""
        self._written(lambda number: DeleteMany(removals, number))

    @precondition(lambda self: self._last is not None)
    @rule()
    def again(self) -> None:
        """Send the last write once more, under the same request id."""
        assert self._last is not None
        expect_replayed(self._first_answer, self._table.put(self._last))

    @rule(names=own("reads"), with_vectors=st.booleans())
    def get(self, names: Any, with_vectors: bool) -> None:
        """Read by ref."""
        self._table.put(GetMany(names, with_vectors))

    @rule(search=own("searches"))
    def search(self, search: Any) -> None:
        """Search."""
        self._table.put(search)

    @rule(search=own("searches"))
    def search_again(self, search: Any) -> None:
        """Search: there is more to it than to other calls."""
        self._table.put(search)

    @rule(listing=own("listings"))
    def list(self, listing: Any) -> None:
        """Walk to the end."""
        self._table.put(listing)

    @rule(tally=own("tallies"))
    def count(self, tally: Any) -> None:
        """Count."""
        self._table.put(tally)

    @rule(survey=own("surveys"))
    def survey(self, survey: Any) -> None:
        """Figures and namespaces."""
        self._table.put(survey)

    @rule(erasure=own("erasures"))
    def purge(self, erasure: Any) -> None:
        """Purge, or say what a purge would delete."""
        self._written(lambda number: replace(erasure, number=number))

    @rule(forgetting=own("forgettings"))
    def forget(self, forgetting: Any) -> None:
        """Forget, or say what that would delete."""
        self._written(lambda number: replace(forgetting, number=number))

    @rule(merging=own("mergings"))
    def consolidate(self, merging: Any) -> None:
        """Merge near-duplicates, or say which are: that alone where a store cannot merge."""
        if any(side.lacks("consolidate") for side in self._table.sides):
            merging = replace(merging, dry_run=True)
        self._written(lambda number: replace(merging, number=number))

    @rule(listing=own("listings"))
    def begin_walk(self, listing: Listing) -> None:
        """Take the first page of a walk that goes on among other requests."""
        self._table.put(NextPage(listing))

    @precondition(lambda self: any(side.walk for side in self._table.sides))
    @rule()
    def go_on(self) -> None:
        """Take the next page of that walk."""
        self._table.put(NextPage())

    @rule(request=own("hostile"))
    def refuse(self, request: Any) -> None:
        """Ask for what may be wrong."""
        self._table.put(request)

    @rule(seconds=st.sampled_from((1, 60, 3600)))
    def pass_time(self, seconds: int) -> None:
        """Let time pass."""
        self._table.pass_time(seconds)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self._table.end()


class KeyValueParity(Parity):
    """The same with atomic batches, which only key-values have."""

    @rule(items=own("items_together"))
    def put_together(self, items: Any) -> None:
        """Put all of these memories or none."""
        self._written(lambda number: PutMany(items, number, atomic=True))

    @rule(removals=own("removals_together"))
    def delete_together(self, removals: Any) -> None:
        """Delete all of these memories or none."""
        self._written(lambda number: DeleteMany(removals, number, atomic=True))


def expect_replayed(first: Any, again: Any) -> None:
    """What a write did is not done once more: the same request id hears the first outcomes.

    An item that was refused or left things as they were has done nothing, and may be tried again.
    """
    if not isinstance(first, Sequence):
        return  # refused as a whole
    assert isinstance(again, Sequence), (first, again)
    for before, now in zip(first, again, strict=True):
        if before["error"] is None and before["outcome"] is not Outcome.UNCHANGED:
            assert now["replayed"], (before, now)
            for name in ("ref", "outcome", "version"):
                assert now[name] == before[name], (before, now)


def run(
    table: Table, family: Family, steps: int, *, seed: int | None = None, small: bool = False
) -> None:
    """Put so many steps to all stores.

    Args:
        table: The stores.
        family: What the steps are about.
        steps: How many; rounded up to whole examples.
        seed: What chooses the steps. None: always the same ones.
        small: Make small examples, of few steps.

    Raises:
        DifferentAnswersError: Stores answered differently; with the smallest example.
    """
    machine = KeyValueParity if family is KEY_VALUES else Parity
    an_example = SMALL_STEPS if small else STEPS
    test: Any = get_state_machine_test(
        lambda: machine(table, family, small=small),  # type: ignore[arg-type]  # "a class or a function"
        settings=settings(
            max_examples=math.ceil(steps / an_example),
            stateful_step_count=an_example,
            derandomize=seed is None,
            database=None,
            deadline=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
    if seed is not None:
        test = hypothesis.seed(seed)(test)
    test()
