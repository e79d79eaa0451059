"""How fast a store is behind the gateway, beside the least that the same calls cost without."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

from bench import measure, report

Call: TypeAlias = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    turns: int = 3
    calls: tuple[tuple[int, int], ...] = ((1, 100), (16, 160))
    """Concurrency, and calls a turn."""


FULL: Final = Effort()
QUICK: Final = Effort(turns=1, calls=((1, 20), (16, 32)))


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to measure, and the same without the gateway (None: nothing to compare with)."""

    name: str
    gateway: Call
    direct: Call | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One operation, measured beside the same without the gateway."""

    gateway: measure.Sample
    direct: measure.Sample | None


async def measure_all(
    operations: Sequence[Operation], effort: Effort = FULL
) -> list[dict[str, Any]]:
    """All operations at each concurrency, in turns after one to warm up."""
    rows: list[dict[str, Any]] = []
    steps = (effort.turns + 1) * len(effort.calls) * len(operations)
    with report.progress("measuring", steps) as advance:
        for concurrency, calls in effort.calls:
            for operation in operations:
                turns: list[Turn] = []
                for number in range(effort.turns + 1):
                    some = calls if number else max(concurrency, calls // 4)
                    turns.append(await _turn(operation, some, concurrency, number * calls))
                    advance()
                rows.append(_row(operation.name, concurrency, turns[1:]))
    return rows


async def _turn(operation: Operation, calls: int, concurrency: int, first: int) -> Turn:
    async def load(call: Call) -> measure.Sample:
        return await measure.load(call, calls=calls, concurrency=concurrency, first=first)

    direct = None if operation.direct is None else await load(operation.direct)
    return Turn(await load(operation.gateway), direct)


def _row(name: str, concurrency: int, turns: Sequence[Turn]) -> dict[str, Any]:
    """Medians; ratios are of each turn before the median is taken."""
    row: dict[str, Any] = {
        "operation": name,
        "concurrency": concurrency,
        "gateway": asdict(measure.median_of([turn.gateway for turn in turns])),
    }
    pairs = [(turn.gateway, turn.direct) for turn in turns if turn.direct is not None]
    if pairs:
        row |= {
            "direct": asdict(measure.median_of([direct for _, direct in pairs])),
            **measure.ratios(pairs),
        }
    return row


def show(title: str, beside: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the figures; `beside` names what the gateway is compared with."""
    report.table(
        title,
        (
            "operation",
            "at once",
            "p50 ms",
            "p99 ms",
            "ops/s",
            *(f"{beside} {unit}" for unit in ("p50", "p99", "/s")),
            "ratio p50",
            "ratio /s",
        ),
        [
            (
                row["operation"],
                str(row["concurrency"]),
                *report.numbers(row["gateway"]),
                *(report.numbers(row["direct"]) if "direct" in row else ("", "", "")),
                report.ratio(row) if "direct" in row else "",
                f"{row['per_second_ratio']:.2f}" if "direct" in row else "",
            )
            for row in rows
        ],
    )


def cell(row: Mapping[str, Any]) -> str:
    """A row in short: p50/p99 of the gateway, and in brackets of what it is compared with."""
    both = [
        f"{row[side]['p50_ms']:.1f}/{row[side]['p99_ms']:.1f}"
        for side in ("gateway", "direct")
        if side in row
    ]
    return both[0] + "".join(f" ({one})" for one in both[1:])
