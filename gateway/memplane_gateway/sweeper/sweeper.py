"""Sweeps slice after slice: in the background, and when somebody asks for a slice."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import hashlib
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memplane_adapters.contract import Cursor, Kind, StoreError, StoreReason
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import within
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.calls.notes import Notebook
from memplane_gateway.memory.lifecycle.retention import Cause, Policy, Task, tasks_of
from memplane_gateway.memory.lifecycle.sweeping import Slice, Swept, Toll
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.tokens import PageTokens, Position
from memplane_gateway.memory.write.shared_leases import control_failure
from memplane_gateway.routes import Router
from memplane_gateway.sweeper.run import Failure, Place, Rule, Run, Standing
from memplane_gateway.sweeper.turn import LEASE_SECONDS, Turn

SLICE_SECONDS = 10.0
"""How long the stores have for a slice in the background."""
_SHARE = 0.05
"""After this part of it nothing new is begun; then callers have as long for themselves."""
_CLEAR_SECONDS = 86_400.0
"""From one look for leftovers in the background to the next: it reads every further text."""
_SKEW_SECONDS = 5.0
"""A sweep that is asked for spares what expired in these: another gateway's clock may be behind."""
_JITTER = 0.1
_STOP_SECONDS = 2.0
EXAMPLES = 100

_log = logging.getLogger(__name__)


def known_tenants() -> tuple[str, ...]:
    """Whose memories are swept. Without authentication there is the one tenant."""
    return (Caller().tenant,)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the configuration says about sweeps."""

    policies: Sequence[Policy] = ()
    interval: float = 0.0
    """Seconds from one sweep to the next; 0 is none in the background."""
    grace: float = 0.0
    """Seconds for which a sweep in the background spares what has expired; others some at most."""
    budget: int = 10_000
    """Rows that a slice looks at."""

    def tasks(self, *, grace: float = 0.0, leftovers: bool = True) -> list[Task]:
        """All that a sweep does, kind by kind; perhaps without the look for leftovers."""
        kinds = (Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL)
        micros = int(grace * 1e6)
        tasks = [task for kind in kinds for task in tasks_of(self.policies, kind, grace=micros)]
        return [task for task in tasks if leftovers or task.cause is not Cause.LEFTOVERS]


class Sweeper:
    """Sweeps the stores of all routes."""

    def __init__(
        self,
        router: Router,
        clock: Clock,
        notebook: Notebook,
        tokens: PageTokens,
        plan: Plan,
        *,
        shared: bool,
    ) -> None:
        """`shared` says that other gateways may use the control store."""
        self._router = router
        self._clock = clock
        self._tokens = tokens
        self._plan = plan
        self._shared = shared
        self._turn = Turn(notebook, clock, shared=shared)
        self._slicing = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._running: Run | None = None
        self._last: Run | None = None
        self._next: int | None = None
        self._cleared: dict[str, float] = {}
        """When this gateway has last looked for a tenant's leftovers, by time.monotonic()."""

    def start(self) -> None:
        """Begin to sweep in the background, where that is on."""
        if self._plan.interval:
            # In a context of its own: no call's deadline is this one's.
            self._task = asyncio.get_running_loop().create_task(
                self._keep_sweeping(), name="sweeper", context=contextvars.Context()
            )

    async def close(self) -> None:
        """End after the slice that is under way, or in the midst of it when that takes long."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_STOP_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def standing(self, *, ask: bool) -> Standing:
        """How it fares; `ask` the control store what others did."""
        last = self._last
        if ask and (self._shared or last is None):
            with contextlib.suppress(StoreError):  # then what this gateway knows is said
                noted = await self._turn.last()
                if noted is not None and (last is None or (noted.end or 0) > (last.end or 0)):
                    last = noted
        return Standing(
            on=self._task is not None,
            interval=int(self._plan.interval * 1e6),
            running=self._running,
            last=last,
            next_time=self._next,
        )

    async def sweep(self, caller: Caller, token: str, *, rehearsal: bool) -> tuple[Run, str]:
        """One slice of a sweep through the caller's memories, and where to go on (empty: its end).

        Raises INVALID_ARGUMENT for a token of another sweep, ABORTED while another gateway sweeps,
        UNAVAILABLE without the control store. What a store fails at is noted in the run.
        """
        now = self._clock.now()
        tasks = self._plan.tasks(grace=min(self._plan.grace, _SKEW_SECONDS))
        kind_of_call = b"\1" if rehearsal else b"\0"
        binding = caller.tenant.encode() + b"\0SweepMemories" + kind_of_call + _digest(tasks)
        at = Place()
        if not self._tokens.secret:
            raise control_failure(StoreError(StoreReason.UNAVAILABLE, "not ready yet"))
        if token:
            position = self._tokens.open(token, binding, now)
            step, after = position.cursor.value, replace(position.cursor, value=0)
            at = Place(step, None if position.second else after)
        run = Run(now)
        part = Slice(self._plan.budget, rehearsal=rehearsal)
        if rehearsal:
            following = await self._slice(caller.tenant, tasks, at, part, run)
        else:
            following = await self._slice_in_turn(caller.tenant, tasks, at, part, run)
        run.end = self._clock.now()
        if following is None:
            return run, ""
        cursor = following.after or Cursor(0, (), "")
        position = Position(replace(cursor, value=following.step), second=following.after is None)
        return run, self._tokens.seal(position, binding, now)

    async def _slice_in_turn(
        self, tenant: str, tasks: Sequence[Task], at: Place, part: Slice, run: Run
    ) -> Place | None:
        async with self._slicing:
            try:
                if not await self._turn.take():
                    raise _another_sweeps()
                try:
                    return await self._slice(tenant, tasks, at, part, run)
                finally:
                    await self._leave()
            except StoreError as error:  # of the control store: of others it is noted in the run
                raise control_failure(error) from error

    async def _leave(self, run: Run | None = None) -> None:
        """End this gateway's turn. What was deleted is told, even where that cannot be noted."""
        try:
            await self._turn.leave(run)
        except StoreError as error:  # others take the turn as that of a gateway that has died
            _log.warning("the end of a sweep was not noted", extra={"error": str(error)})

    async def _slice(
        self, tenant: str, tasks: Sequence[Task], at: Place, part: Slice, run: Run
    ) -> Place | None:
        """Carry out tasks from a place on until the slice is over; None: to their end.

        A kind whose store fails is left out.
        """
        while at.step < len(tasks):
            task = tasks[at.step]
            if part.rehearsal:
                part.before = [each for each in tasks[: at.step] if _takes_alone(each, task)]
            toll = Toll(room=max(EXAMPLES - len(run.examples), 0) if part.rehearsal else 0)
            try:
                swept = await self._sweep_shelf(tenant, task, at.after, part, toll)
            except Exception as error:  # noqa: BLE001 (logged, and said in the run)
                self._note_failure(run, task.kind, error)
                at = Place(_behind_kind(tasks, at.step))
            else:
                at = Place(at.step + 1) if swept.over else Place(at.step, swept.next)
            finally:
                run.add(Rule.of(task), toll.count, toll.examples)
            if part.over and at.step < len(tasks):
                return at
        return None

    async def _sweep_shelf(
        self, tenant: str, task: Task, after: Cursor | None, part: Slice, toll: Toll
    ) -> Swept:
        route = self._router[task.kind]
        if route.read_only is not None:
            return Swept(over=True)
        if route.fault is not None:  # it is left alone until it is back
            raise route.failure(route.fault)
        try:
            return await route.memories.sweep(tenant, task, after, part, toll)
        except StoreError as error:
            raise route.failure(error) from error

    async def _keep_sweeping(self) -> None:
        pause = await self._first_pause()
        while not self._stopping.is_set():
            self._next = self._clock.now() + int(pause * 1e6)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                    return
            run = Run(self._clock.now())
            try:
                pause = await self._sweep_all(run)
            except StoreError as error:
                self._note_failure(run, None, control_failure(error))
                pause = self._pause()
            except Exception as error:  # noqa: BLE001 (logged, and said as the last run)
                # It must live: what expires would never be deleted again.
                self._note_failure(run, None, error)
                pause = self._pause()
            if run.failures:
                run.end = self._clock.now()
                self._last = run

    async def _first_pause(self) -> float:
        """Until an interval after the last sweep, whoever did it; without one for a part of that."""
        try:
            self._last = await self._turn.last()
        except StoreError:
            return self._pause()
        if self._last is None or self._last.end is None:
            return self._plan.interval * random.uniform(0.1, 1.0)  # noqa: S311 (no secret)
        since = max(0, self._clock.now() - self._last.end) / 1e6
        soon = self._plan.interval * random.uniform(0, _JITTER)  # noqa: S311 (no secret)
        return max(self._pause() - since, soon)

    def _pause(self) -> float:
        return self._plan.interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 (no secret)

    async def _sweep_all(self, run: Run) -> float:
        """One whole sweep, unless another gateway does it; returns the seconds until the next."""
        last = await self._turn.last() if self._shared else None
        if last is not None and last.end is not None:
            since = (run.start - last.end) / 1e6
            if 0 <= since < self._plan.interval / 2:  # by another gateway
                return self._pause() - since
        if not await self._turn.take():
            return min(LEASE_SECONDS, self._plan.interval)
        self._running = run
        try:
            for tenant in known_tenants():
                if not await self._sweep_tenant(tenant, run):
                    return 0.0
            run.end = self._clock.now()
            self._last = run
        finally:
            self._running = None
            # What was interrupted is not the last sweep: it begins anew, and finds less.
            await self._leave(run if run.end is not None else None)
        deleted = sum(run.counts.values())
        if deleted:
            _log.info("swept", extra={"deleted": deleted})
        return self._pause()

    async def _sweep_tenant(self, tenant: str, run: Run) -> bool:
        """Slice after slice; False where the gateway stops meanwhile."""
        cleared, started = self._cleared.get(tenant), time.monotonic()
        clears = cleared is None or started - cleared >= _CLEAR_SECONDS
        tasks = self._plan.tasks(grace=self._plan.grace, leftovers=clears)
        at: Place | None = Place()
        while at is not None:
            began = time.monotonic()
            async with self._slicing:
                with within(SLICE_SECONDS):
                    part = Slice(self._plan.budget, share=_SHARE)
                    at = await self._slice(tenant, tasks, at, part, run)
            if at is not None:
                if self._stopping.is_set():
                    return False
                if not await self._turn.keep():
                    raise _another_sweeps()
                await asyncio.sleep(time.monotonic() - began)  # callers have as long
        if clears and not run.failures:
            self._cleared[tenant] = started
        return True

    def _note_failure(self, run: Run, kind: Kind | None, error: Exception) -> None:
        if not isinstance(error, MemplaneError):
            _log.error("bug in a sweep", exc_info=error)
            error = MemplaneError(Code.INTERNAL, Reason.GATEWAY_BUG, "a bug; see the gateway's log")
        else:
            name = kind.value if kind is not None else "control"
            _log.warning("a sweep left out what failed", extra={"kind": name, "error": str(error)})
        run.failures.append(Failure.of(kind, error))


def _takes_alone(earlier: Task, task: Task) -> bool:
    return earlier.kind is task.kind and earlier.cause in (Cause.MAX_AGE, Cause.MAX_IDLE)


def _behind_kind(tasks: Sequence[Task], step: int) -> int:
    """The first task of the next kind."""
    kind = tasks[step].kind
    while step < len(tasks) and tasks[step].kind is kind:
        step += 1
    return step


def _digest(tasks: Sequence[Task]) -> bytes:
    """What ties a token to the policies that it was given out under."""
    return hashlib.blake2b(repr(tasks).encode(), digest_size=16).digest()


def _another_sweeps() -> MemplaneError:
    return MemplaneError(
        Code.ABORTED,
        Reason.WRITE_CONTENTION,
        "another gateway sweeps these stores now; try again later",
        retry_after=5.0,
    )
