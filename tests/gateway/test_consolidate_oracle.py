"""Random near-duplicates against a few lines of plain Python: what is kept, what it gets, what goes."""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.shelved import CALLER, HOUR, KIND, Shelved
from tests.thorough import THOROUGH

from memplane_adapters.contract import Condition, Op, Value
from memplane_gateway.memory.lifecycle import consolidating, duplicates
from memplane_gateway.memory.model import Expiry, Record, Removal
from memplane_gateway.memory.questions import Consolidate, Consolidated, Group, Selection
from memplane_gateway.memory.shelf import RowWrite
from memplane_gateway.memory.write.renewing import renewed

STEP = 6
"""Degrees between two directions; what is two steps apart is still similar."""
UNBOUND = 100
"""More than are compared: one call does it."""
LEAST = math.cos(math.radians(2.5 * STEP))


@dataclass(frozen=True)
class Written:
    """A memory; `event` in hours ago, `lives` in hours."""

    direction: int | None
    event: int
    importance: float | None
    pinned: bool
    attributes: tuple[str, ...]
    lives: int | None
    below: bool
    apart: bool

    def similar(self, other: Written) -> bool:
        """Whether the two may be merged."""
        if self.direction is None or other.direction is None:
            return False
        return self.below == other.below and abs(self.direction - other.direction) <= 2


WRITTEN = st.builds(
    Written,
    st.integers(0, 12) | st.integers(0, 12) | st.integers(0, 4) | st.none(),
    st.integers(0, 4),
    st.none() | st.sampled_from([0.1, 0.5, 0.9]),
    st.sampled_from([False, False, False, False, True]),
    st.lists(st.sampled_from("xyz"), unique=True).map(tuple),
    st.none() | st.integers(1, 3),
    st.sampled_from([False, False, True]),
    st.sampled_from([False, False, False, True]),
)


def rank(memories: list[Written], number: int) -> tuple[bool, float, int, int]:
    """The lowest is kept."""
    each = memories[number]
    important = 0.5 if each.importance is None else each.importance
    return (not each.pinned, -important, each.event, number)


def kept_of(memories: list[Written]) -> set[int]:
    """Whoever has no similar one before it that is kept, and all that is pinned."""
    kept: set[int] = set()
    for number in sorted(range(len(memories)), key=lambda number: rank(memories, number)):
        each = memories[number]
        rivals = [other for other in kept if memories[other].similar(each)]
        if not each.apart and (each.pinned or not rivals):
            kept.add(number)
    return kept


@pytest.fixture(scope="module")
def shelved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelved]:
    made = Shelved(tmp_path_factory.mktemp("consolidate"))
    yield made
    made.close()


def place_of(room: str, memory: Written) -> tuple[str, ...]:
    return (room, "below") if memory.below else (room,)


async def written(shelved: Shelved, memories: list[Written]) -> str:
    """Writes all; an attribute says who wrote it."""
    room = shelved.room()
    for number, each in enumerate(memories):
        await shelved.put(
            place_of(room, each),
            f"{number:02}",
            at=shelved.now - each.event * HOUR,
            degrees=None if each.direction is None else each.direction * STEP,
            attributes={"apart": each.apart, **dict.fromkeys(each.attributes, number)},
            importance=each.importance,
            pinned=each.pinned,
            expiry=None if each.lives is None else Expiry(ttl=each.lives * HOUR),
        )
    shelved.now += HOUR // 2
    return room


def asking(room: str, least: float = LEAST) -> Consolidate:
    """Those that are not apart take part."""
    taking_part = Condition(("apart",), Op.EQ, operand=False)
    return Consolidate(Selection(KIND, (room,), filter=taking_part), room.encode(), least)


async def call(shelved: Shelved, asked: Consolidate, *, dry_run: bool = False) -> Consolidated:
    """One call."""
    progress = shelved.memories.begin_consolidate(CALLER, asked)
    return await shelved.memories.consolidate(CALLER, asked, progress, dry_run=dry_run)


async def to_the_end(shelved: Shelved, asked: Consolidate) -> list[Consolidated]:
    """Call after call."""
    done: list[Consolidated] = []
    while not done or done[-1].next_page_token:
        token = done[-1].next_page_token if done else ""
        done.append(await call(shelved, replace(asked, page_token=token)))
        assert len(done) < 100
    return done


def check_group(
    group: Group, memories: list[Written], before: dict[str, Record], after: dict[str, Record]
) -> None:
    """Everything that was merged is similar to what is kept, which has what it lacked."""
    kept = memories[int(group.kept)]
    assert group.merged_count == len(group.merged) > 0
    assert list(group.merged) == sorted(group.merged, key=lambda each: (-each[1], each[0]))
    merged = [int(key) for key, _ in group.merged]
    for number, (_, similarity) in zip(merged, group.merged, strict=True):
        each = memories[number]
        assert kept.similar(each)
        assert not each.pinned
        assert kept.direction is not None
        assert each.direction is not None
        apart = math.radians(STEP * (kept.direction - each.direction))
        assert similarity == pytest.approx(math.cos(apart), abs=1e-6)
    was, now = before[group.kept], after[group.kept]
    newest = sorted(merged, key=lambda number: (memories[number].event, number))
    attributes = {"apart": False, **dict.fromkeys(kept.attributes, int(group.kept))}
    for number in newest:
        for name in memories[number].attributes:
            attributes.setdefault(name, number)
    assert now.content.attributes == attributes
    said = [0.5 if (i := memories[n].importance) is None else i for n in merged]
    own = 0.5 if kept.importance is None else kept.importance
    assert now.content.importance == (max(said) if max(said) > own else kept.importance)
    ends = [before[f"{number:02}"].expire_time for number in merged]
    assert now.expire_time == (
        None if None in (was.expire_time, *ends) else max([was.expire_time, *ends])  # type: ignore[type-var]
    )
    assert now.ttl == (None if now.expire_time is None else was.ttl)
    assert (now.content.text, now.content.vector_digest) == (
        was.content.text,
        was.content.vector_digest,
    )
    assert (now.create_time, now.content.pinned) == (was.create_time, was.content.pinned)


@settings(max_examples=600 if THOROUGH else 40, deadline=None)
@given(
    memories=st.lists(WRITTEN, max_size=12),
    bounds=st.sampled_from([(1, 1), (3, 2), (UNBOUND, 100)]),
)
def test_what_is_kept_is_what_nothing_kept_outranks(
    shelved: Shelved, memories: list[Written], bounds: tuple[int, int]
) -> None:
    async def run() -> None:
        room = await written(shelved, memories)
        before = {key: record for (_, key), record in (await shelved.records(room)).items()}
        dry = await call(shelved, asking(room), dry_run=True)
        assert len(await shelved.records(room)) == len(memories)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(consolidating, "COMPARED", bounds[0])
            patch.setattr(consolidating, "_ROWS", bounds[1])
            patch.setattr(duplicates, "_FIRST_HITS", 1)
            done = await to_the_end(shelved, asking(room))
        after = {key: record for (_, key), record in (await shelved.records(room)).items()}
        groups = [group for each in done for group in each.groups]
        if bounds[0] == UNBOUND:
            assert list(dry.groups) == groups
        assert dry.merged_count == sum(group.merged_count for group in groups)
        assert dry.next_page_token == ""
        kept = {f"{number:02}" for number in kept_of(memories)}
        others = {f"{n:02}" for n, each in enumerate(memories) if each.apart}
        assert after.keys() == kept | others
        assert sum(each.merged_count for each in done) == len(before) - len(after)
        assert sum(each.conflicts for each in done) == 0
        for group in groups:
            check_group(group, memories, before, after)
        changed = {group.kept for group in groups}
        assert {key: after[key] for key in after.keys() - changed} == {
            key: before[key] for key in after.keys() - changed
        }
        again = await call(shelved, asking(room))
        assert (again.groups, again.conflicts, again.next_page_token) == ((), 0, "")

    shelved.run(run())


def test_a_crowd_is_merged_into_one_in_pieces(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a receipt names, more than is deleted at once, more than a call merges."""
    monkeypatch.setattr(consolidating, "_ROWS", 7)
    monkeypatch.setattr(consolidating, "TOLD", 5)
    monkeypatch.setattr(consolidating, "MERGED", 20)

    async def run() -> None:
        room = shelved.room()
        for number in range(30):
            await shelved.put(
                (room,), f"{number:02}", degrees=0, attributes={"apart": False, f"n{number}": 1}
            )
        await shelved.put((room,), "other", degrees=90, attributes={"apart": False})
        done = await to_the_end(shelved, asking(room))
        assert sum(each.merged_count for each in done) == 29
        (group,) = [group for each in done for group in each.groups]
        assert (len(group.merged), group.merged_count) == (5, 29)
        left = await shelved.records(room)
        assert len(left) == 2
        assert len(left[(room,), group.kept].content.attributes) == 31

    shelved.run(run())


def test_what_cannot_hold_the_rest_is_left_alone(shelved: Shelved) -> None:
    async def run() -> None:
        room = shelved.room()
        for key in "abc":
            many: dict[str, Value] = {f"{key}{number}": 1 for number in range(40)}
            await shelved.put((room,), key, degrees=0, attributes={"apart": False, **many})
        for dry_run in (True, False):
            done = await call(shelved, asking(room), dry_run=dry_run)
            assert (done.groups, done.merged_count, done.conflicts) == ((), 0, 1)
        assert len(await shelved.records(room)) == 3
        # What fits is merged all the same.
        await shelved.put((room,), "d", degrees=0, attributes={"apart": False, "d": 1})
        for dry_run in (True, False):
            done = await call(shelved, asking(room), dry_run=dry_run)
            assert (done.merged_count, done.conflicts) == (1, 1)

    shelved.run(run())


class Between:
    """Something that happens right before one of the calls to a store."""

    CALLS = ("fetch", "upsert", "delete")

    def __init__(
        self, shelved: Shelved, number: int, happens: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = shelved.store
        self._left = number
        self._happens = happens
        self.before = ""
        """Which call that was."""

    def __enter__(self) -> Self:
        for name in self.CALLS:
            setattr(self._store, name, functools.partial(self._late, name))
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.CALLS:
            self._store.__dict__.pop(name, None)

    async def _late(self, name: str, *args: Any, **named: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            self.__exit__()
            self.before = name
            await self._happens()
        return await getattr(type(self._store), name)(self._store, *args, **named)


@pytest.mark.parametrize("key", ["0", "2"], ids=["merged", "kept"])
def test_a_change_meanwhile_is_seen_and_nothing_is_lost(shelved: Shelved, key: str) -> None:
    """At each point between reading and deleting."""

    async def run(number: int) -> str:
        room = shelved.room()
        for each in range(3):
            attributes: dict[str, Value] = {"apart": False, f"n{each}": each}
            at = shelved.now + each
            await shelved.put((room,), f"{each}", at=at, degrees=0, attributes=attributes)
        with Between(shelved, number, lambda: shelved.touch((room,), key)) as between:
            done = await call(shelved, asking(room))
        left = {
            key: each.content.attributes for (_, key), each in (await shelved.records(room)).items()
        }
        known = {name for attributes in left.values() for name in attributes}
        assert {"n0", "n1", "n2"} <= known
        assert ("touched" in known) == bool(between.before)
        if between.before:
            assert key in left
            # What is kept may change once it has got what it lacked.
            late = (key, between.before) == ("2", "delete")
            assert done.conflicts == int(not late)
        again = await call(shelved, asking(room))
        assert again.conflicts == 0
        assert len(await shelved.records(room)) == 1
        return between.before

    points = [shelved.run(run(number)) for number in range(1, 5)]
    assert points == ["fetch", "fetch", "upsert", "delete"]


def test_what_is_deleted_meanwhile_does_not_live_on(shelved: Shelved) -> None:
    async def run() -> None:
        room = shelved.room()
        for each in range(3):
            attributes: dict[str, Value] = {"apart": False, f"n{each}": each}
            at = shelved.now + each
            await shelved.put((room,), f"{each}", at=at, degrees=0, attributes=attributes)

        async def delete() -> None:
            await shelved.memories.delete([Removal(shelved.address((room,), "0"))])

        with Between(shelved, 1, delete):
            done = await call(shelved, asking(room))
        assert (done.merged_count, done.conflicts) == (1, 1)
        (last,) = (await shelved.records(room)).values()
        assert set(last.content.attributes) == {"apart", "n1", "n2"}

    shelved.run(run())


def test_what_is_kept_may_be_deleted_before_the_others_are_and_that_is_told(
    shelved: Shelved,
) -> None:
    async def run() -> None:
        room = shelved.room()
        for each in range(2):
            at = shelved.now + each
            await shelved.put((room,), f"{each}", at=at, degrees=0, attributes={"apart": False})

        async def delete() -> None:
            await shelved.memories.delete([Removal(shelved.address((room,), "1"))])

        with Between(shelved, 3, delete) as between:
            done = await call(shelved, asking(room))
        assert between.before == "delete"
        assert (done.merged_count, done.conflicts) == (1, 1)

    shelved.run(run())


def test_a_period_that_began_again_meanwhile_is_not_cut_short(shelved: Shelved) -> None:
    """What is merged expires later than what is kept was read to, and earlier than it does now."""

    async def run() -> None:
        room = shelved.room()
        for key, hours in (("kept", 4), ("merged", 5)):
            await shelved.put(
                (room,),
                key,
                degrees=0,
                attributes={"apart": False},
                importance=0.9 if key == "kept" else 0.1,
                expiry=Expiry(ttl=hours * HOUR),
            )
        shelved.now += 2 * HOUR

        async def renew() -> None:
            (row,) = await shelved.shelf.fetch([shelved.address((room,), "kept")], vectors=True)
            assert row is not None
            write = RowWrite(renewed(row, shelved.now), row.record.revision)
            await shelved.shelf.write([write], atomic=False)

        with Between(shelved, 1, renew):
            done = await call(shelved, asking(room))
        assert done.merged_count == 1
        (left,) = (await shelved.records(room)).values()
        assert (left.expire_time, left.ttl) == (shelved.now + 4 * HOUR, 4 * HOUR)

    shelved.run(run())


def test_what_one_call_left_to_a_later_one_is_not_left_to_an_earlier_one(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call looks at what is kept on both sides of a memory, and merges it into neither."""
    monkeypatch.setattr(consolidating, "COMPARED", 3)

    async def run() -> None:
        room = shelved.room()
        for hours, (key, step, importance) in enumerate(
            [("newest", 6, 0.1), ("best", 0, 0.9), ("between", 2, 0.1), ("good", 4, 0.8)]
        ):
            await shelved.put(
                (room,),
                key,
                at=shelved.now - hours * HOUR,
                degrees=step * STEP,
                attributes={"apart": False},
                importance=importance,
            )
        done = await to_the_end(shelved, asking(room))
        assert [len(each.groups) for each in done] == [0, 1]
        assert {key for _, key in await shelved.records(room)} == {"best", "good"}

    shelved.run(run())
