"""The gateways that are compared: one a store, all in this process, on one event loop and one clock."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.parity.plain import MISSING, Difference, Versions, differences, plain
from tests.parity.vectors import DIMENSION

from memplane import AsyncScope, Capabilities, Delete, Kind, MemplaneError
from memplane_adapters.conformance.memories.doors import IN_PROCESS, Door, open_door
from memplane_adapters.conformance.memories.helpers import until
from memplane_gateway.config import RouteSettings, RoutesSettings, Settings
from memplane_gateway.config.models import EMBEDDER, HASH
from memplane_gateway.server import Gateway

T = TypeVar("T")

SHOWN_DIFFERENCES = 5
LONGEST_SHOWN = 2_000
PATIENCE_SECONDS = 60.0

_TICK_MICROS = 1_000
_TOLD_EXAMPLES = 25


@dataclass(frozen=True)
class Contender:
    """A store to be compared: its name, and what puts the kinds that it keeps on it."""

    name: str
    arrange: Callable[[Settings], Settings]


class OneClock:
    """Wall time for all gateways: it stands still during a request, and can be moved on.

    So what each gateway stamps and what has expired are the same on all, and can be compared.
    """

    def __init__(self) -> None:
        self._now = 0
        self._ahead = 0

    def wall(self) -> int:
        """Microseconds since 1970."""
        return self._now

    def tick(self) -> None:
        """Move on to the present, by a millisecond at least."""
        self._now = max(self._now + _TICK_MICROS, time.time_ns() // 1000 + self._ahead)

    def skip(self, seconds: float) -> None:
        """Let time pass. It never goes back, lest revisions and real time fall apart."""
        self._ahead += round(seconds * 1_000_000)


@dataclass
class Side:
    """One store behind its gateway, during one example."""

    name: str
    door: Door
    abilities: Capabilities
    kind: Kind
    """One of those that requests are about."""
    versions: Versions = field(default_factory=lambda: Versions(""))
    walk: Any = None
    """The walk that is under way, and its token; None before and after."""
    _last: tuple[object, Any] = (None, None)

    @property
    def label(self) -> str:
        """What the first label of every namespace of the example begins with."""
        return self.versions.label

    def scope(self, place: Sequence[str]) -> AsyncScope:
        """The namespace of a place; its first label is what follows the example's own."""
        return self.door.client.scope(*self.namespace(place))

    def namespace(self, place: Sequence[str]) -> tuple[str, ...]:
        """The labels of a place."""
        return (self.label + place[0], *place[1:])

    def request_id(self, call: str, number: int) -> str:
        """The id of a call: the same on all sides, and of no other example."""
        return f"{self.label}-{call}-{number}"

    def once(self, write: object, make: Callable[[], T]) -> T:
        """What a write sends: the same when it is sent again, though etags have changed since."""
        if self._last[0] is not write:
            self._last = (write, make())
        items: T = self._last[1]
        return items

    def lacks(self, capability: str) -> bool:
        """Whether the store has declared that it cannot do this."""
        able = self.abilities[self.kind]
        if capability == "consolidate":  # which takes exact search
            return not able.vector or (able.approximate and not able.exact_search)
        return not getattr(able, capability, True)


class Request(Protocol):
    """One request, the same for all stores; its repr is what a failure shows."""

    def ask(self, side: Side) -> Awaitable[Any]:
        """Send it; returns the plain answer. Raises MemplaneError."""
        ...


class DifferentAnswersError(AssertionError):
    """Two stores answered differently."""


class NoAnswerError(AssertionError):
    """A store answered what none may, even if all did."""


class Table:
    """Puts every request to all sides at once, and holds their answers against each other."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner
        self._clock = OneClock()
        self._gateways: list[Gateway] = []
        self._doors: list[Door] = []
        self._names: list[str] = []
        self.sides: list[Side] = []
        """Those that are asked; once two have answered differently, only these two."""
        self.requests = 0
        """How many were put and compared."""
        self.examples = 0
        self.tell: Callable[[str], None] | None = None
        """Is told now and then how far this is."""

    def __str__(self) -> str:
        names = ", ".join(self._names)
        return f"{self.requests} requests in {self.examples} examples on {names}"

    # --- life ---------------------------------------------------------------------------------

    async def open(self, contenders: Sequence[Contender], directory: Path, kind: Kind) -> None:
        """Start a gateway a contender."""
        self._clock.tick()
        for contender in contenders:
            self._names.append(contender.name)
            place = directory / contender.name
            place.mkdir()
            gateway = Gateway(contender.arrange(_settings(place)))
            # All gateways share one clock; Gateway makes its own.
            gateway._clock._wall = self._clock.wall
            await gateway.start()
            self._gateways.append(gateway)
            await until(partial(_serves, gateway), seconds=PATIENCE_SECONDS)
            door = await open_door(IN_PROCESS, gateway)
            self._doors.append(door)
            abilities = await door.client.capabilities()
            self.sides.append(Side(contender.name, door, abilities, kind))

    async def close(self) -> None:
        """Stop all of them."""
        for door in self._doors:
            await door.close()
        for gateway in self._gateways:
            await gateway.stop(grace=0)

    # --- one example --------------------------------------------------------------------------

    def begin(self) -> None:
        """A fresh label, so that no example sees another's memories."""
        self.examples += 1
        if self.tell is not None and self.examples % _TOLD_EXAMPLES == 0:
            self.tell(f"parity: {self}")
        label = f"parity-{uuid.uuid4().hex}"
        for side in self.sides:
            side.versions, side.walk = Versions(label), None

    def end(self) -> None:
        """Delete what the example wrote, so that stores do not grow."""
        self._clock.tick()
        self._runner.run(self._sweep())

    async def _sweep(self) -> None:
        await asyncio.gather(
            *(
                side.door.client.delete_many(Delete(ref) for ref in side.versions.refs())
                for side in self.sides
            )
        )

    def pass_time(self, seconds: float) -> None:
        """Let what has a ttl come of age."""
        self._clock.skip(seconds)

    def put(self, request: Request) -> Any:
        """Ask all sides at once. Returns the first's plain answer.

        Raises:
            DifferentAnswersError: One store answers differently from the first that can do this.
        """
        self._clock.tick()
        self.requests += 1
        answers = self._runner.run(self._ask_all(request))
        answered = [
            (side, answer)
            for side, answer in zip(self.sides, answers, strict=True)
            if not _excused(side, answer)
        ]
        if not answered:
            return None
        first, expected = answered[0]
        for side, answer in answered[1:]:
            found = list(differences(expected, answer))
            if found:
                self.sides = [first, side]  # the search for a smaller example needs no others
                raise DifferentAnswersError(
                    _complaint(request, {first.name: expected, side.name: answer}, found)
                )
        return expected

    async def _ask_all(self, request: Request) -> list[Any]:
        return await asyncio.gather(*(_answer(side, request) for side in self.sides))


@contextmanager
def table(contenders: Sequence[Contender], directory: Path, kind: Kind) -> Iterator[Table]:
    """Gateways of these stores, to be compared in this block by requests about such a kind."""
    with asyncio.Runner() as runner:
        made = Table(runner)
        try:
            runner.run(made.open(contenders, directory, kind))
            yield made
        finally:
            runner.run(made.close())


def _settings(directory: Path) -> Settings:
    """What all gateways have in common."""
    # AUTO is then the same everywhere, also with `hash`, where it depends on what the store can.
    route = RouteSettings(search="vector")
    return Settings(
        listen="127.0.0.1:0",
        data_dir=directory,
        routes=RoutesSettings(semantic=route, episodic=route),
        embedders={HASH: EMBEDDER.validate_python({"provider": HASH, "dimension": DIMENSION})},
    )


async def _serves(gateway: Gateway) -> bool:
    """Whether all routes do; on a busy machine a store may take a while."""
    return not any(route.error for route in gateway.routes)


async def _answer(side: Side, request: Request) -> Any:
    try:
        try:
            return await request.ask(side)
        except MemplaneError as error:
            return {"error": plain(error, side.versions)}
    except AssertionError as error:
        raise NoAnswerError(f"{side.name}: {error}\nrequest: {request!r}") from None


def _excused(side: Side, answer: Any) -> bool:
    """Whether a store refuses what it has declared that it cannot do."""
    if not isinstance(answer, dict) or "error" not in answer:
        return False
    error = answer["error"]
    capability = error["metadata"].get("capability", "")
    return error["reason"] == "CAPABILITY_MISSING" and side.lacks(capability)


def _complaint(request: Request, answers: Mapping[str, Any], found: Sequence[Difference]) -> str:
    """What two stores, the one that is expected first, answered to a request, and where they differ."""
    expected, other = answers
    width = max(map(len, answers))
    lines = [f"{other} answers differently from {expected}", f"request: {request!r}"]
    for path, left, right in found[:SHOWN_DIFFERENCES]:
        lines += [
            f"at {path}",
            f"    {expected:{width}}  {_shown(left)}",
            f"    {other:{width}}  {_shown(right)}",
        ]
    if len(found) > SHOWN_DIFFERENCES:
        lines.append(f"and {len(found) - SHOWN_DIFFERENCES} further differences")
    lines += [f"all of {name}: {_cut(answer)}" for name, answer in answers.items()]
    return "\n".join(lines)


def _shown(given: Any) -> str:
    """A value with its type, where two could look alike."""
    plainly = given is MISSING or isinstance(given, dict | list | tuple)
    return _cut(given) if plainly else f"{_cut(given)} ({type(given).__name__})"


def _cut(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
