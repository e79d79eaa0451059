"""What a store has ready, how it gets there, and that the event loop runs meanwhile."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from memplane_adapters.conformance.stores.fixtures import (
    COLLECTION,
    DIMENSION,
    Points,
    Subject,
    some_vectors,
    vector,
)
from memplane_adapters.contract import (
    Condition,
    Durability,
    EmbeddingIdentity,
    Kind,
    Negation,
    Op,
    Order,
    Pushdown,
    StoreError,
    StoreReason,
    Value,
    WriteStatus,
    compile_filter,
)

_OPERANDS: dict[Op, tuple[Value, ...]] = {
    **dict.fromkeys((Op.EQ, Op.NE), ("x", 1, None)),
    **dict.fromkeys((Op.GT, Op.GTE, Op.LT, Op.LTE), (1, "2026-01-01")),
    **dict.fromkeys((Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL), (["x", 1],)),
    Op.CONTAINS: ("x", 1),
    Op.STARTS_WITH: ("x",),
    **dict.fromkeys((Op.EXISTS, Op.IS_NULL), (True, False)),
}
_REPETITIONS = 25


@pytest.mark.parametrize("op", Op)
@pytest.mark.asyncio
async def test_field_10_a_field_that_nothing_is_known_of_can_be_filtered(
    subject: Subject, op: Op
) -> None:
    """The cloud refused a filter on a field without index that the store at home accepted."""
    reach = subject.capabilities.pushdown(op)
    if reach is Pushdown.NONE:
        pytest.skip(f"the store does not declare {op.value}")
    await subject.write(subject.entry("a", fields={"n": 1}), subject.entry("b"))
    for path in [(f"new-{uuid.uuid4()}",), ("n", "deeper"), (f"new.{uuid.uuid4()}", "way down")]:
        for operand in _OPERANDS[op]:
            tree = Condition(path, op, operand)
            right = {"a", "b"} if compile_filter(tree)({}) else set()
            found = set(await subject.walk(filter=tree))
            assert found >= right
            assert await subject.count(tree=tree) == len(found)
            if isinstance(subject, Points) and subject.capabilities.vector:
                assert set(await subject.search(vector=vector(1.0), filter=tree)) == found
            if reach is Pushdown.EXACT:
                assert found == right
                assert set(await subject.walk(filter=Negation(tree))) == {"a", "b"} - right


@pytest.mark.asyncio
async def test_field_29_what_was_made_and_has_vanished_is_not_made_again(points: Points) -> None:
    """An error while looking was taken for "absent": the collection was made anew, its data lost."""
    if max(points.capabilities.durability) < Durability.PROCESS:
        pytest.skip("the store does not declare durability of PROCESS or above")
    never = dataclasses.replace(
        COLLECTION,
        kind=Kind.EPISODIC,
        embedding=EmbeddingIdentity("conformance", f"made-up-{uuid.uuid4().hex}", DIMENSION),
        made=True,
    )
    for _ in range(2):  # and the first time has not made it
        with pytest.raises(StoreError) as refusal:
            await points.store.ensure(never)
        assert refusal.value.reason is StoreReason.COLLECTION_MISSING
        assert not refusal.value.retryable
    await points.write(points.point("k"))
    assert await points.search(vector=vector(1.0)) == ["k"]


@pytest.mark.asyncio
async def test_field_51_ensure_goes_on_under_traffic(points: Points) -> None:
    """A change of the schema deadlocked with open commits."""
    numbers = range(40)

    async def write(number: int) -> None:
        (result,) = await points.try_write([points.point(f"{number:02}")])
        assert result.status is WriteStatus.APPLIED

    async def read() -> None:
        found = await points.search(vector=vector(1.0), limit=100)
        assert len(found) <= len(numbers)
        assert await points.count() <= len(numbers)

    await asyncio.gather(
        *(points.store.ensure(COLLECTION) for _ in range(10)),
        *map(write, numbers),
        *(read() for _ in range(10)),
        points.store.ping(),
    )
    await points.write(points.point("zz"))
    assert await points.walk(limit=100) == [*(f"{number:02}" for number in numbers), "zz"]


def _calls(subject: Subject) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every call of the subject's promise, each of some size."""
    store, scope = subject.store, subject.scope()
    entries = [subject.entry(f"{number:03}") for number in range(100)]
    if isinstance(subject, Points):
        entries = [
            subject.point(f"{number:03}", at)
            for number, at in enumerate(some_vectors(len(entries)))
        ]
    addresses = [entry.address for entry in entries]
    made: dict[str, Callable[[], Awaitable[Any]]] = {
        "write": lambda: subject.write(*entries),
        "read": lambda: subject.read(*addresses),
        "scan": lambda: subject.page(limit=100),
        "count": lambda: store.count(scope),
        "delete": lambda: subject.delete(*addresses[::2]),
        "delete_where": lambda: store.delete_where(subject.scope("suite"), max_revision=0),
        "stats": lambda: store.stats(subject.kind),
        "ping": store.ping,
    }
    if subject.capabilities.ordered_scan:
        made["scan by time"] = lambda: subject.page(limit=100, order=Order.TIME)
    if isinstance(subject, Points):
        if subject.capabilities.vector:
            made["query"] = lambda: subject.query(vector=vector(1.0), limit=100)
        if subject.capabilities.keyword:
            made["query by terms"] = lambda: subject.query(terms=("tea",))
    return made


@contextmanager
def _swift_threads() -> Iterator[None]:
    """Threads take turns so often that one with a short piece of work does not hold the loop's."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


async def _held(call: Callable[[], Awaitable[Any]]) -> float:
    """The longest time that a call let nobody else run, as a share of the time that it took."""
    turns: list[float] = []

    async def watch() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0)

    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    start = time.perf_counter()
    try:
        await call()
    finally:
        watching.cancel()
    end = time.perf_counter()
    inside = [start, *(turn for turn in turns if start < turn < end), end]
    longest = max(after - before for before, after in itertools.pairwise(inside))
    return longest / (end - start)


@pytest.mark.asyncio
async def test_field_51_every_call_lets_the_event_loop_run(subject: Subject) -> None:
    """Async methods ran blocking calls on the loop.

    A probe turns with the loop. While a call waits for its store the probe must have its turns; a
    call that blocks the loop holds it for all of its time, every time. (No time is asserted: the
    share that one turn has of a call is, in the best of many.)
    """
    if subject.capabilities.durability == (Durability.BUFFERED,):
        pytest.skip("the store declares BUFFERED only: what is in memory waits for nothing")
    with _swift_threads():
        for name, call in _calls(subject).items():
            for _ in range(_REPETITIONS):
                if await _held(call) < 0.95:
                    break
            else:
                pytest.fail(f"{name} holds the event loop")
