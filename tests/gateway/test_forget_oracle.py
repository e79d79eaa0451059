"""Random forgets against a few lines of plain Python, and by a clock that is set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.shelved import CALLER, HOUR, KIND, Shelved
from tests.thorough import THOROUGH

from memplane_adapters.contract import Condition, Op
from memplane_gateway.memory.lifecycle import deleting
from memplane_gateway.memory.questions import Forget, Forgotten, Selection

HOURS = st.integers(0, 6)


@dataclass(frozen=True)
class Written:
    """A memory; times are hours ago."""

    event: int
    created: int
    changed: int
    importance: float | None
    pinned: bool
    tag: int

    @property
    def inactive(self) -> int:
        """Since its last change, which is no earlier than its first."""
        return min(self.created, self.changed)


WRITTEN = st.builds(
    Written,
    st.integers(-2, 6),
    HOURS,
    HOURS,
    st.none() | st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]),
    st.sampled_from([False, False, False, True]),
    st.integers(0, 1),
)


@dataclass(frozen=True)
class Asked:
    """The conditions; periods are hours."""

    older_than: int | None
    inactive_for: int | None
    importance_below: float | None
    half_life: int | None
    tag: int | None

    def importance_of(self, memory: Written) -> float:
        """What it is worth."""
        said = 0.5 if memory.importance is None else memory.importance
        if self.half_life is None:
            return said
        return float(said * 0.5 ** (max(0, memory.event) / self.half_life))

    def forgets(self, memory: Written) -> bool:
        """What the contract says."""
        importance = self.importance_of(memory)
        return (
            not memory.pinned
            and (self.tag is None or memory.tag == self.tag)
            and (self.older_than is None or memory.event >= self.older_than)
            and (self.inactive_for is None or memory.inactive >= self.inactive_for)
            and (self.importance_below is None or importance < self.importance_below)
        )

    def of(self, room: str) -> Forget:
        """As the gateway is asked."""
        chosen = None if self.tag is None else Condition(("tag",), Op.EQ, self.tag)
        return Forget(
            Selection(KIND, (room,), filter=chosen),
            room.encode(),
            _micros(self.older_than),
            _micros(self.inactive_for),
            self.importance_below,
            _micros(self.half_life),
        )


def _micros(hours: int | None) -> int | None:
    return None if hours is None else hours * HOUR


def _asked(below: float | None, half_life: int | None, rest: tuple[Any, Any, Any]) -> Asked:
    return Asked(rest[0], rest[1], below, half_life if below is not None else None, rest[2])


PERIODS = st.none() | st.integers(1, 6)
ASKED = st.builds(
    _asked,
    # None of these is reached by halving an importance above some whole hours.
    st.none() | st.sampled_from([0.0999, 0.26, 0.5, 0.501, 1.0]),
    PERIODS,
    st.tuples(PERIODS, PERIODS, st.none() | st.integers(0, 1)),
)


@pytest.fixture(scope="module")
def shelved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelved]:
    made = Shelved(tmp_path_factory.mktemp("forget"))
    yield made
    made.close()


async def written(shelved: Shelved, memories: list[Written]) -> str:
    """Writes all, and brings the clock to now."""
    room = shelved.room()
    now = shelved.now
    for number, each in enumerate(memories):
        shelved.now = now - each.created * HOUR
        await shelved.put(
            (room, "a" if number % 2 else "b"),
            f"{number:02}",
            at=now - each.event * HOUR,
            attributes={"tag": each.tag},
            importance=each.importance,
            pinned=each.pinned,
        )
        if each.changed < each.created:
            shelved.now = now - each.changed * HOUR
            await shelved.touch((room, "a" if number % 2 else "b"), f"{number:02}")
    shelved.now = now
    return room


async def forgotten(shelved: Shelved, asked: Forget, *, dry_run: bool = False) -> Forgotten:
    """One call."""
    progress = shelved.memories.begin_forget(CALLER, asked)
    return await shelved.memories.forget(CALLER, asked, progress, dry_run=dry_run)


@settings(max_examples=1000 if THOROUGH else 100, deadline=None)
@given(memories=st.lists(WRITTEN, max_size=8), asked=ASKED)
def test_what_goes_is_what_meets_every_condition(
    shelved: Shelved, memories: list[Written], asked: Asked
) -> None:
    async def run() -> None:
        room = await written(shelved, memories)
        there = {key: place for place, key in await shelved.records(room)}
        doomed = [f"{n:02}" for n, each in enumerate(memories) if asked.forgets(each)]
        dry = await forgotten(shelved, asked.of(room), dry_run=True)
        assert len(await shelved.records(room)) == len(memories)
        done = await forgotten(shelved, asked.of(room))
        assert done == dry
        assert done.count == len(doomed)
        doomed.sort(key=lambda key: (there[key], key))
        assert [(each.namespace, each.key) for each in done.memories] == [
            (there[key], key) for key in doomed
        ]
        for told in done.memories:
            memory = memories[int(told.key)]
            assert told.age == (None if asked.older_than is None else memory.event * HOUR)
            inactive = None if asked.inactive_for is None else memory.inactive * HOUR
            assert told.inactive_for == inactive
            if asked.importance_below is None:
                assert told.importance is None
            else:
                assert told.importance == pytest.approx(asked.importance_of(memory))
        left = {key for _, key in await shelved.records(room)}
        assert left == there.keys() - set(doomed)
        assert (await forgotten(shelved, asked.of(room))).count == 0

    shelved.run(run())


def test_all_calls_of_a_forget_measure_from_the_same_moment(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its time over at once; meanwhile hours pass."""
    monkeypatch.setattr(deleting, "_ROWS", 2)
    monkeypatch.setattr(deleting, "is_late", lambda _: True)

    async def run() -> None:
        room = await written(shelved, [Written(n, 0, 0, None, False, 0) for n in range(7)])
        asked = Asked(3, None, None, None, None).of(room)
        token, gone = "", []
        for _ in range(10):
            call = Forget(asked.selection, asked.binding, asked.older_than, page_token=token)
            done = await forgotten(shelved, call)
            gone += [each.key for each in done.memories]
            shelved.now += HOUR
            token = done.next_page_token
            if not token:
                break
        assert sorted(gone) == ["03", "04", "05", "06"]
        assert len(await shelved.records(room)) == 3

    shelved.run(run())


def test_what_is_changed_between_two_calls_survives(
    shelved: Shelved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleting, "_ROWS", 2)
    monkeypatch.setattr(deleting, "is_late", lambda _: True)

    async def run() -> None:
        room = await written(shelved, [Written(5, 5, 5, None, False, 0) for _ in range(4)])
        asked = Asked(1, None, None, None, None).of(room)
        first = await forgotten(shelved, asked)
        assert (first.count, bool(first.next_page_token)) == (2, True)
        ((place, key), *_) = await shelved.records(room)
        shelved.now += HOUR
        await shelved.touch(place, key)
        rest = Forget(asked.selection, asked.binding, HOUR, page_token=first.next_page_token)
        last = await forgotten(shelved, rest)
        assert (last.count, last.next_page_token) == (1, "")
        assert list(await shelved.records(room)) == [(place, key)]

    shelved.run(run())
