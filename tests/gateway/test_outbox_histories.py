"""Random histories of writes, outages, lost answers and restarts: nothing lost, nothing reordered.

The oracle is a map of what each memory may be: one state when the last write was acknowledged, more
where a call failed without anybody knowing whether it took effect.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gateway.flaky import House, address, caller, hurry, put
from tests.thorough import THOROUGH

from memplane_adapters.contract import StoreError
from memplane_gateway.errors import MemplaneError, is_ambiguous
from memplane_gateway.memory.model import Outcome, Removal, Update, Written
from memplane_gateway.memory.write import leases

KEYS = "abc"
MISSING = None


@dataclass(frozen=True)
class Act:
    """One thing that happens."""

    what: str
    keys: str = ""
    lost: str = ""


def acts() -> st.SearchStrategy[Act]:
    """What happens, writes most of the time."""
    key = st.sampled_from(KEYS)
    pair = st.sampled_from(["ab", "bc", "ca"])
    lost = st.sampled_from(["", "", "before", "after"])
    return st.one_of(
        st.builds(Act, st.sampled_from(["put", "put", "update", "delete", "retry"]), key, lost),
        st.builds(Act, st.sampled_from(["put all", "delete all"]), pair, lost),
        st.builds(Act, st.sampled_from(["down", "up", "up", "restart", "settle"])),
    )


@dataclass
class History:
    """A gateway, and what each memory may be."""

    house: House
    may_be: dict[str, set[object]] = field(default_factory=lambda: {key: {MISSING} for key in KEYS})
    number: int = 0
    last_put: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Request id and value of the last put of a memory."""

    async def run(self, act: Act) -> None:
        house = self.house
        house.store.lost = act.lost
        self.number += 1
        match act.what:
            case "put":
                await self._put(act.keys, f"r{self.number}", self.number)
            case "retry":
                if act.keys in self.last_put:
                    await self._retry(act.keys)
            case "update":
                await self._update(act.keys)
            case "put all":
                await self._put_all(act.keys)
            case "delete" | "delete all":
                removals = [Removal(address(key)) for key in act.keys]
                await self._write(
                    act.keys,
                    house.memories.delete(removals, atomic=act.what == "delete all"),
                    lambda _: MISSING,
                )
            case "down" | "up":
                house.store.down = act.what == "down"
            case "settle":
                await self.settle()
            case _:
                down = house.store.down
                directory = self.directory
                await house.close()
                self.house = await House(directory, compares=self.compares).open(down=down)
        house.store.lost = ""
        await self.check()

    directory: Path = Path()
    compares: bool = True

    async def _put(self, key: str, request_id: str, value: int) -> None:
        self.last_put[key] = (request_id, value)
        work = self.house.memories.put(caller(request_id), [put([value], key)])
        await self._write(key, work, lambda _: [value])

    async def _retry(self, key: str) -> None:
        """Send the last put again: it takes effect only if it has not."""
        request_id, value = self.last_put[key]
        before = set(map(str, self.may_be[key]))
        work = self.house.memories.put(caller(request_id), [put([value], key)])
        try:
            (written,) = await work
        except (MemplaneError, StoreError) as error:
            if is_ambiguous(error):
                self.may_be[key] = _more(self.may_be[key], [value])
            return
        if written.error is not None:
            return
        if not written.replayed and written.outcome is not Outcome.UNCHANGED:
            # No trace of it was left there: it was deleted since, or never came so far.
            assert str([value]) not in before or len(before) > 1 or before == {str(MISSING)}, before
            self.may_be[key] = (
                {_frozen([value])} if not written.spooled else _more(self.may_be[key], [value])
            )

    async def _update(self, key: str) -> None:
        """Append to the list that is there, by way of its whole value."""
        known = self.may_be[key]
        if len(known) != 1 or known == {MISSING}:
            return
        (before,) = known
        assert isinstance(before, tuple)
        value = [*before, self.number]
        work = self.house.memories.update(
            caller(f"r{self.number}"), [Update(address(key), value=value)]
        )
        await self._write(key, work, lambda _: value)

    async def _put_all(self, keys: str) -> None:
        value = self.number
        work = self.house.memories.put(
            caller(f"r{value}"), [put([value], key) for key in keys], atomic=True
        )
        await self._write(keys, work, lambda _: [value])

    async def _write(self, keys: str, work: object, state: Callable[[str], object]) -> None:
        try:
            written: list[Written] = await work  # type: ignore[misc]
        except (MemplaneError, StoreError) as error:
            if is_ambiguous(error):
                for key in keys:
                    self.may_be[key] = _more(self.may_be[key], state(key))
            return
        for key, each in zip(keys, written, strict=True):
            if each.error is None:
                self.may_be[key] = {_frozen(state(key))}
            elif is_ambiguous(each.error):
                self.may_be[key] = _more(self.may_be[key], state(key))

    async def check(self) -> None:
        """What is read of each memory is what it may be, and from then on that alone."""
        for key in KEYS:
            try:
                value = _frozen(await self.house.value(key))
            except StoreError:
                assert self.house.store.down
                continue
            assert value in self.may_be[key], key
            self.may_be[key] = {value}

    async def settle(self) -> None:
        """Let all that waits be carried out."""
        self.house.store.down = False
        async with asyncio.timeout(20):
            while self.house.outbox.standing.waiting:  # noqa: ASYNC110 (it polls)
                await asyncio.sleep(0.001)
        assert not self.house.outbox.standing.dead


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _more(states: set[object], value: object) -> set[object]:
    return {*states, _frozen(value)}


@pytest.mark.parametrize("compares", [True, False], ids=["compare-and-set", "leases"])
@settings(max_examples=400 if THOROUGH else 25, deadline=None)
@given(happenings=st.lists(acts(), min_size=5, max_size=25))
def test_no_history_loses_or_reorders_a_write(
    quick: None, compares: bool, happenings: list[Act]
) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as directory:
            place = Path(directory)
            house = await House(place, compares=compares).open()
            history = History(house, directory=place, compares=compares)
            try:
                for act in happenings:
                    await history.run(act)
                await history.settle()
                await history.check()
            finally:
                await history.house.close()

    asyncio.run(run())


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """A replay that looks often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leases, "SETTLING_SECONDS", 0.005)
        hurry(patch)
        yield
