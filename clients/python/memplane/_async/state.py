"""The state of a workflow: a map under one key that several writers change without losing anything."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from memplane import _states
from memplane._enums import Outcome
from memplane._errors import MemplaneError
from memplane._ids import uuid7
from memplane._models import Memory, Ref, StateUpdate, WriteResult
from memplane._states import AsyncUpdated, Change, Lost, Snapshot, StateMap, StateOptions, Version
from memplane._waiting import AsyncWaiting

if TYPE_CHECKING:
    from memplane._async.scope import AsyncScope

P = ParamSpec("P")


class AsyncState:
    """A map under one key, a PROCEDURAL memory, that is read, changed and written as one step.

    Every write is made against the version that was read; so nothing that another writer wrote is
    lost. There are two ways. `update` runs a function, and runs it again when another writer was
    ahead. A block cannot be run again:

        async with ada.state("checkout") as state:
            state["step"] = 3

    It reads the state (an empty dict where there is none), and writes it when the block ends without
    an exception and has changed something, however deep inside. It is the dict itself that has to be
    changed; to replace it all, `state.clear()` first. When another writer was ahead meanwhile, what
    happens is said by `merge`, see `scope.state`.

    Text, attributes, importance and expiry of the memory stay as they are.
    """

    def __init__(self, scope: AsyncScope, ref: Ref, options: StateOptions) -> None:
        self._scope = scope
        self._ref = ref
        self._options = options
        self._block: tuple[Version, StateMap] | None = None
        self._result: WriteResult | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._ref}>"

    @property
    def ref(self) -> Ref:
        """The memory that holds the state."""
        return self._ref

    @property
    def result(self) -> WriteResult | None:
        """What became of the last block's write. None when it wrote nothing."""
        return self._result

    async def value(self) -> StateMap:
        """The state as it is now; an empty dict where there is none. Changing it writes nothing.

        Raises:
            InvalidArgument: The key holds a value that is no map.
            MemplaneError: The call failed. An outage is never answered with an empty state.
        """
        version = await self._read()
        return version.snapshot.value()

    async def update(self, change: Change, *, attempts: int = _states.ATTEMPTS) -> StateUpdate:
        """Changes the state by a function; when another writer was ahead, again on the new state.

        Between the tries it waits, longer each time and at random.

        Args:
            change: Is given the state as a dict and changes it in place. It may run several times,
                so it should do nothing else. What it returns is handed back and changes nothing;
                when it raises, nothing is written. An async function is awaited.
            attempts: How often it may run at most.

        Raises:
            StateConflict: Another writer was ahead every time.
            InvalidArgument: The key, or the changed state, holds what a state cannot.
            MemplaneError: A call failed. Where it is `ambiguous` the change may have been made.

        Example:
            def bump(state):
                state["count"] = state.get("count", 0) + 1

            visits = await ada.state("visits").update(bump)
            print(visits.value["count"])
        """
        attempts = _states.attempts_of(attempts)
        version, attempt = await self._read(), 1
        while True:
            state = version.snapshot.value()
            returned = await AsyncWaiting.answer(change(state), "change")
            mine = Snapshot.of(state, "state")
            if not version.snapshot.touched(mine):
                return StateUpdate(state, None, returned, attempt)
            written = await self._write(version, mine)
            if isinstance(written, WriteResult):
                return StateUpdate(state, written, returned, attempt)
            if attempt == attempts:
                raise _states.gave_up(self._ref, attempt, version, mine, written)
            version = (await self._next(written, attempt)).version
            attempt += 1

    def updating(
        self, change: Callable[Concatenate[StateMap, P], Any]
    ) -> Callable[P, AsyncUpdated]:
        """Makes a function that changes a state into one that does so with `update`.

        Example:
            @ada.state("visits").updating
            def bump(state, by):
                state["count"] = state.get("count", 0) + by

            await bump(2)
        """

        @functools.wraps(change)
        async def updated(*args: P.args, **kwargs: P.kwargs) -> StateUpdate:
            return await self.update(lambda state: change(state, *args, **kwargs))

        return updated

    async def __aenter__(self) -> StateMap:
        if self._block is not None:
            raise RuntimeError(f"{self!r} is in a block already; make one for each block")
        version = await self._read()
        state = version.snapshot.value()
        self._block, self._result = (version, state), None
        return state

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block, self._block = self._block, None
        assert block is not None
        if kind is None:
            version, state = block
            self._result = await self._settle(version, Snapshot.of(state, "state"))

    async def _settle(self, base: Version, mine: Snapshot) -> WriteResult | None:
        """Writes what a block made of a version, merged with what came between."""
        version, wanted, attempt = base, mine, 1
        while version.snapshot.touched(wanted):
            written = await self._write(version, wanted)
            if isinstance(written, WriteResult):
                return written
            if attempt == _states.ATTEMPTS:
                raise _states.gave_up(self._ref, attempt, base, mine, written)
            lost = await self._next(written, attempt)
            attempt += 1
            version, wanted = lost.version, self._options.merged(self._ref, base, mine, lost)
        return None

    async def _next(self, lost: Lost, attempt: int) -> Lost:
        """What to try again on: at once what was met the first time, later what is there by then."""
        if attempt == 1:
            return lost
        await AsyncWaiting.pause(_states.pause_after(attempt, lost.error))
        return Lost(lost.error, await self._read())

    async def _read(self) -> Version:
        return Version.of(await self._scope.get(self._ref, timeout=self._options.timeout))

    async def _write(self, version: Version, state: Snapshot) -> WriteResult | Lost:
        """Writes a state over a version, if that is still the one that is there."""
        request_id = uuid7()
        attempt = 1
        while True:
            try:
                return await self._send(version.memory, state.value(), request_id)
            except MemplaneError as error:
                if _states.is_undecided(error) and attempt < _states.ATTEMPTS:
                    await AsyncWaiting.pause(_states.pause_after(attempt, error))
                    attempt += 1
                    continue
                if not _states.is_lost(error):
                    raise
                lost = Lost(error, await self._read())
            memory = lost.version.memory
            if memory is not None and _made_by(memory, request_id):
                # It was sent again after its answer had got lost, and was refused by itself.
                return _result_of(memory, version.memory)
            return lost

    async def _send(self, memory: Memory | None, value: StateMap, request_id: str) -> WriteResult:
        options = self._options
        if memory is None:
            return await self._scope.put(
                self._ref,
                value=value,
                ttl=options.ttl,
                if_absent=True,
                min_durability=options.min_durability,
                request_id=request_id,
                timeout=options.timeout,
            )
        return await self._scope.update(
            self._ref,
            value=value,
            ttl=options.ttl,
            if_match=memory.etag,
            min_durability=options.min_durability,
            request_id=request_id,
            timeout=options.timeout,
        )


def _made_by(memory: Memory, request_id: str) -> bool:
    return memory.provenance is not None and memory.provenance.request_id == request_id


def _result_of(memory: Memory, before: Memory | None) -> WriteResult:
    """What a write must have answered whose answer got lost."""
    return WriteResult(
        memory.ref,
        Outcome.CREATED if before is None else Outcome.UPDATED,
        etag=memory.etag,
        revision=memory.revision,
        create_time=memory.create_time,
        update_time=memory.update_time,
        expire_time=memory.expire_time,
        searchable=memory.searchable,
        replayed=True,
        visible=True,
    )
