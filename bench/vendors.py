"""What the gateway makes of a vector store: beside the vendor's own library, in turns.

python bench/vendors.py [--stores embedded,chroma,qdrant] [--quick] [--json FILE]

The same rows with the same vectors are written, read and searched through a gateway by `AsyncClient`
and by the library that an agent would use instead, on the same server; for the embedded store by a
script with sqlite3 and numpy. Every answer is held against what an exact store gives; where one is
not what is owed, its figures do not count, and this ends with 1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import grpc

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import command, measure, process, report, stores
from bench.agreement import Agreement
from bench.direct import direct_for
from bench.made import DIMENSION, Made, rows_from
from bench.sides import ByLibrary, Get, Operation, Put, Search, Side, ThroughGateway, seen

from memplane import AsyncClient, Kind, MemplaneError
from memplane_gateway.config.stores import find_adapter

DEFAULT: Final = "embedded,chroma,qdrant"
_PATIENCE: Final = 120
"""Seconds: on a busy machine what waits behind 15 batches waits for long."""
_FILLED: Final = 500
"""Rows in a batch before anything is measured."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    turns: int = 5
    rows: int = 2_000
    """That are read and searched."""
    batch: int = 100
    """Rows that one put writes."""
    reads: tuple[tuple[int, int], ...] = ((1, 100), (16, 320))
    """Concurrency, and calls a turn."""
    puts: tuple[tuple[int, int], ...] = ((1, 8), (16, 32))


QUICK: Final = Effort(turns=2, rows=500, reads=((1, 30), (16, 64)), puts=((1, 3), (16, 16)))


# --- measuring --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """One operation on both sides, one after the other."""

    gateway: measure.Sample
    direct: measure.Sample
    cpu_us: float
    """What the gateway's process spent for a call, user and system."""


class Measured:
    """An operation at one concurrency: its turns, and how its answers agree."""

    def __init__(self, operation: Operation, concurrency: int, calls: int) -> None:
        self.operation, self.concurrency, self.calls = operation, concurrency, calls
        self._turns: list[Turn] = []
        self._agreements = [Agreement(name, operation.depth) for name in ("gateway", "direct")]

    async def turn(
        self, gateway: Side, direct: Side, cpu_seconds: Callable[[], float], number: int
    ) -> None:
        """Measures it once on each side, and judges all answers.

        Sides take turns in being the first. Turn number 0 warms up and is forgotten.
        """
        calls = self.calls if number else max(self.concurrency, self.calls // 4)
        material = [self.operation.material(number * self.calls + one) for one in range(calls)]
        samples: dict[Side, measure.Sample] = {}
        spent: dict[Side, float] = {}
        for side in (direct, gateway) if number % 2 else (gateway, direct):
            before = cpu_seconds()
            samples[side], answers = await self._run(side, material)
            spent[side] = cpu_seconds() - before
            for each, answer in answers.items():
                await self.operation.judge(
                    side, material[each], answer, self._agreements[side is direct]
                )
        if number:
            cpu_us = spent[gateway] / calls * 1e6
            self._turns.append(Turn(samples[gateway], samples[direct], cpu_us))

    async def _run(
        self, side: Side, material: Sequence[Any]
    ) -> tuple[measure.Sample, Mapping[int, Any]]:
        """What the calls took; and their answers, by the number of the call."""
        answers: dict[int, Any] = {}

        async def call(number: int) -> None:
            answers[number] = await self.operation.call(side, material[number])

        sample = await measure.load(call, calls=len(material), concurrency=self.concurrency)
        return sample, answers

    def figures(self) -> dict[str, Any]:
        """Medians; ratios are of each turn before the median is taken."""
        pairs = [(turn.gateway, turn.direct) for turn in self._turns]
        return {
            "operation": self.operation.name,
            "concurrency": self.concurrency,
            "gateway": asdict(measure.median_of([turn.gateway for turn in self._turns])),
            "direct": asdict(measure.median_of([turn.direct for turn in self._turns])),
            **measure.ratios(pairs),
            "cpu_us_per_call": statistics.median(turn.cpu_us for turn in self._turns),
            "answers": [one.figures() for one in self._agreements],
        }


async def fill(made: Made, sides: Sequence[Side]) -> None:
    """Writes the rows that are read, on both sides."""
    report.say(f"writing {len(made.rows)} rows on both sides ...")
    for side in sides:
        for start in range(0, len(made.rows), _FILLED):
            await side.put(made.rows[start : start + _FILLED])
        for last in {row.namespace: row for row in made.rows}.values():
            await seen(side, last)


async def measure_all(
    gateway: Side, direct: Side, cpu_seconds: Callable[[], float], effort: Effort
) -> list[dict[str, Any]]:
    """All operations: those that read in turns, then those that make the store larger.

    `cpu_seconds` says what the gateway's process has spent so far.
    """
    made = Made(rows_from(0, effort.rows))
    await fill(made, (direct, gateway))
    reads: list[Operation] = [
        Get(made),
        Search(made, filtered=False),
        Search(made, filtered=True),
    ]
    groups = (
        [Measured(one, *load) for load in effort.reads for one in reads],
        [Measured(Put(made, effort.batch), *load) for load in effort.puts],
    )
    steps = (effort.turns + 1) * sum(map(len, groups))
    with report.progress("measuring", steps) as advance:
        for group in groups:
            for number in range(effort.turns + 1):
                for one in group:
                    await one.turn(gateway, direct, cpu_seconds, number)
                    advance()
    return [one.figures() for group in groups for one in group]


# --- stores -----------------------------------------------------------------------------------


def settings_of(place: stores.Place) -> dict[str, Any]:
    """The configuration of a gateway that keeps SEMANTIC memories there; clients send vectors."""
    names = {one.name for one in fields(find_adapter(place.adapter).settings)}
    patience = {"timeout": _PATIENCE} if "timeout" in names else {}
    return {
        "stores": {"measured": {**place.settings, **patience}},
        "embedders": {"sent": {"provider": "none", "dimension": DIMENSION}},
        "routes": {"semantic": {"store": "measured", "embedder": "sent"}},
        "log": {"level": "warning"},
    }


async def measure_store(
    place: stores.Place, server: process.Process, effort: Effort
) -> dict[str, Any]:
    """All figures of one store."""
    direct = direct_for(place)
    if direct is None:
        raise process.BenchError(f"{place.adapter}: bench/direct has no module for it")
    async with AsyncClient(server.address, timeout=_PATIENCE) as client:
        await stores.serving(client)
        route = (await client.status()).routes[Kind.SEMANTIC]
        can = (await client.capabilities())[Kind.SEMANTIC]
        try:
            await direct.open(rows_from(0, 1)[0])
            library = ByLibrary(direct, approximate=can.approximate)
            rows = await measure_all(ThroughGateway(client), library, server.cpu_seconds, effort)
        finally:
            await direct.close()
    return {
        "how": place.how,
        "durability": route.durability.name,
        "approximate": can.approximate,
        "beside": direct.library,
        "memory_mib": server.memory_mib(),
        "rows": rows,
    }


def run(
    names: Sequence[str],
    effort: Effort = Effort(),
    *,
    memplane: Path = process.MEMPLANE,
    pin: bool = True,
) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    server_cores, client_cores = process.two_cores() if pin else (frozenset[int](),) * 2
    cores = {"server": min(server_cores), "client": min(client_cores)} if server_cores else None
    found: dict[str, Any] = {}
    for name in names:
        with (
            process.scratch() as directory,
            process.on_cores(server_cores),
            stores.place(name, directory) as place,
            process.gateway(directory, settings_of(place), memplane=memplane) as server,
            process.on_cores(client_cores),
        ):
            try:
                found[name] = measure.run(measure_store(place, server, effort))
            except* MemplaneError as errors:
                raise process.BenchError(
                    f"{name}: {measure.first_of(errors)}\n{server.said()}"
                ) from errors
        show(name, found[name], effort, cores)
    return {"turns": effort.turns, "rows": effort.rows, "cores": cores, "stores": found}


def show(
    store: str, figures: Mapping[str, Any], effort: Effort, cores: Mapping[str, int] | None
) -> None:
    """Prints the figures of a store."""
    placed = (
        f"servers on core {cores['server']}, client on core {cores['client']}"
        if cores
        else "servers and client share the cores: not pinned"
    )
    beside = figures["beside"]
    report.table(
        f"{store}: {figures['how']}, {figures['durability']}, {effort.rows} rows beside {beside}; "
        f"{placed}; medians of {effort.turns} turns, grpcio {grpc.__version__}",
        (
            "operation",
            "at once",
            "p50 ms",
            "p99 ms",
            "calls/s",
            *(f"direct {unit}" for unit in ("p50", "p99", "/s")),
            "ratio p50",
            "ratio /s",
            "cpu us",
            "answers",
            "direct",
        ),
        [
            (
                row["operation"],
                str(row["concurrency"]),
                *report.numbers(row["gateway"]),
                *report.numbers(row["direct"]),
                report.ratio(row),
                f"{row['per_second_ratio']:.2f}",
                f"{row['cpu_us_per_call']:,.0f}",
                *(_verdict(one) for one in row["answers"]),
            )
            for row in figures["rows"]
        ],
    )
    for row in figures["rows"]:
        for one in row["answers"]:
            if not one["holds"]:
                report.say(
                    *(f"  {row['operation']}, {one['case']}: {text}" for text in one["examples"])
                )


def _verdict(answers: Mapping[str, Any]) -> str:
    """Whether answers are what is owed: of an approximate store the share of hits, else all."""
    if not answers["holds"]:
        return f"NO ({answers['different']} of {answers['asked']})"
    return "same" if not answers["different"] else f"{answers['overlap']:.3f}"


def wrong(figures: Mapping[str, Any]) -> list[str]:
    """What answered other than it owes, by store: its figures do not count."""
    return [
        f"{store}, {row['operation']}, {one['case']}"
        for store, measured in figures["stores"].items()
        for row in measured["rows"]
        for one in row["answers"]
        if not one["holds"]
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command.parser(__doc__)
    options.add_argument(
        "--stores",
        type=stores.chosen,
        default=DEFAULT,
        help=f'with commas, or "{stores.ALL}": those at hand',
    )
    figures: dict[str, Any] = {}

    def measured(given: argparse.Namespace) -> Mapping[str, Any]:
        effort = QUICK if given.quick else Effort()
        figures.update(run(given.stores, effort, memplane=given.memplane))
        return figures

    command.run("vendors", options, measured, arguments)
    if differ := wrong(figures):
        sys.exit(f"vendors: other answers than are owed: {'; '.join(dict.fromkeys(differ))}")


if __name__ == "__main__":
    main()
