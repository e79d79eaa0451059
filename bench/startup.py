"""What it takes to begin: importing the client, a new gateway, and one that finds its memories.

python bench/startup.py [--quick] [--json FILE]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import command, measure, process, report, workload

from memplane import Client, Kind, Mode

_IMPORT: Final = """
import time
start = time.perf_counter()
import memplane
print(time.perf_counter() - start)
"""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    memories: int = 10_000
    repeats: int = 5


QUICK: Final = Effort(memories=2_000, repeats=3)


def import_client() -> dict[str, float]:
    """`import memplane` in a new process: the statement alone."""
    statement = [sys.executable, "-c", _IMPORT]
    said = subprocess.run(statement, check=True, capture_output=True, text=True)
    return {"seconds": float(said.stdout)}


def start_empty(memplane: Path) -> dict[str, float]:
    """A gateway without data, from nothing to its first answer."""
    with process.scratch() as directory:
        return _start(directory, memplane, lambda client: client.get(Kind.PROCEDURAL, "nothing"))


def start_filled(directory: Path, memplane: Path, data: workload.Workload) -> dict[str, float]:
    """A gateway with data, to its first answer: a search, which reads all vectors."""
    scope = workload.LABEL

    def search(client: Client) -> object:
        return client.scope(scope).search(vector=data.query_vector(1), mode=Mode.VECTOR, limit=10)

    return _start(directory, memplane, search)


def _start(directory: Path, memplane: Path, ask: Callable[[Client], object]) -> dict[str, float]:
    with (
        process.gateway(directory, workload.SETTINGS, memplane=memplane) as gateway,
        Client(gateway.address) as client,
    ):
        client.health()  # connected, so that what is left is the gateway's
        start = time.perf_counter()
        ask(client)
        answered = time.perf_counter() - start
        return {
            "ready_seconds": gateway.ready_seconds,
            "first_answer_ms": answered * 1000,
            "memory_mib": gateway.memory_mib(),
        }


def repeated(repeats: int, once: Callable[[], dict[str, float]]) -> dict[str, Any]:
    """The median of each number, after one try that warms the file cache."""
    once()
    tries = [once() for _ in range(repeats)]
    return {
        name: {
            "median": statistics.median(one[name] for one in tries),
            "lowest": min(one[name] for one in tries),
            "highest": max(one[name] for one in tries),
        }
        for name in tries[0]
    }


def run(effort: Effort = Effort(), *, memplane: Path = process.MEMPLANE) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    data = workload.make(effort.memories)
    with process.scratch() as directory:
        with process.gateway(directory, workload.SETTINGS, memplane=memplane) as gateway:
            measure.run(workload.write_to(gateway.address, data))
        with report.progress("starting", 3) as advance:
            figures: dict[str, Any] = {}
            for name, once in (
                ("import memplane", import_client),
                ("new gateway", lambda: start_empty(memplane)),
                (
                    f"gateway with {effort.memories} memories",
                    lambda: start_filled(directory, memplane, data),
                ),
            ):
                figures[name] = repeated(effort.repeats, once)
                advance()
    show(figures, effort.repeats)
    return {"memories": effort.memories, "repeats": effort.repeats, "rows": figures}


def show(figures: dict[str, Any], repeats: int) -> None:
    """Prints the figures."""
    units = {"seconds": "s", "ready_seconds": "s", "first_answer_ms": "ms", "memory_mib": "MiB"}
    report.table(
        f"starting, {repeats} times each",
        ("what", "figure", "median", "lowest", "highest", "unit"),
        [
            (
                what,
                figure.rpartition("_")[0].replace("_", " ") or "time",
                *(f"{row[which]:.{0 if row['median'] > 100 else 2}f}" for which in row),
                units[figure],
            )
            for what, rows in figures.items()
            for figure, row in rows.items()
        ],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command.run(
        "startup",
        command.parser(__doc__),
        lambda given: run(QUICK if given.quick else Effort(), memplane=given.memplane),
        arguments,
    )


if __name__ == "__main__":
    main()
