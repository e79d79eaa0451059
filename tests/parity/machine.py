"""The state machine: writes, reads, refusals and passing time, put to all stores at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
from tests.parity import strategies as given
from tests.parity.requests import (
    DeleteMany,
    GetMany,
    Listing,
    NextPage,
    PutMany,
    UpdateMany,
)
from tests.parity.sides import Request, Table

STEPS, SMALL_STEPS = 20, 5
"""Steps of an example."""


class Parity(RuleBasedStateMachine):
    """Every rule puts one request to all stores, and fails where their answers differ."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._table = table
        self._number = 0
        self._last: Request | None = None
        table.begin()

    def _written(self, make: Callable[[int], Request]) -> None:
        self._number += 1
        self._last = make(self._number)
        self._table.put(self._last)

    @initialize(rows=given.beginnings)
    def begin(self, rows: Sequence[int]) -> None:
        """Memories by their numbers in the population."""
        if rows:
            self._written(lambda number: PutMany([given.POPULATION[row] for row in rows], number))

    @rule(items=given.items)
    def put(self, items: Any) -> None:
        """Put memories."""
        self._written(lambda number: PutMany(items, number))

    @rule(changes=given.changes)
    def update(self, changes: Any) -> None:
        """Update memories."""
        self._written(lambda number: UpdateMany(changes, number))

    @rule(removals=given.removals)
    def delete(self, removals: Any) -> None:
        """Delete memories."""
        self._written(lambda number: DeleteMany(removals, number))

    @precondition(lambda self: self._last is not None)
    @rule()
    def again(self) -> None:
        """Send the last write once more, under the same request id."""
        assert self._last is not None
        self._table.put(self._last)

    @rule(names=given.reads, with_vectors=st.booleans())
    def get(self, names: Any, with_vectors: bool) -> None:
        """Read by ref."""
        self._table.put(GetMany(names, with_vectors))

    @rule(search=given.searches)
    def search(self, search: Any) -> None:
        """Search."""
        self._table.put(search)

    @rule(search=given.searches)
    def search_again(self, search: Any) -> None:
        """Search: there is more to it than to other calls."""
        self._table.put(search)

    @rule(listing=given.listings)
    def list(self, listing: Any) -> None:
        """Walk to the end."""
        self._table.put(listing)

    @rule(tally=given.tallies)
    def count(self, tally: Any) -> None:
        """Count."""
        self._table.put(tally)

    @rule(listing=given.listings)
    def begin_walk(self, listing: Listing) -> None:
        """Take the first page of a walk that goes on among other requests."""
        self._table.put(NextPage(listing))

    @precondition(lambda self: any(side.walk for side in self._table.sides))
    @rule()
    def go_on(self) -> None:
        """Take the next page of that walk."""
        self._table.put(NextPage())

    @rule(request=given.hostile)
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


class SmallParity(Parity):
    """The same with less to begin with, which is shrunk sooner."""

    @initialize(rows=given.small_beginnings)
    def begin(self, rows: Sequence[int]) -> None:
        """Memories by their numbers in the population."""
        super().begin(rows)


def run(table: Table, steps: int, *, seed: int | None = None, small: bool = False) -> None:
    """Put so many steps to all stores.

    Args:
        table: The stores.
        steps: How many; rounded up to whole examples.
        seed: What chooses the steps. None: always the same ones.
        small: Make small examples, of few steps.

    Raises:
        DifferentAnswersError: Stores answered differently; with the smallest example.
    """
    machine = SmallParity if small else Parity
    an_example = SMALL_STEPS if small else STEPS
    test: Any = get_state_machine_test(
        lambda: machine(table),  # type: ignore[arg-type]  # "a class or a function"
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
