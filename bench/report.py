"""How figures are shown: tables, progress on a terminal and plain lines elsewhere, and JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

WIDTH = 170
"""Of a table that goes to a file."""


class Advance(Protocol):
    """Says that so many more are done."""

    def __call__(self, steps: int = 1, /) -> None: ...


def console() -> Console:
    """Where figures go. What is no terminal gets no colours, and lines that do not depend on it."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Shows how far something is: a bar on a terminal, elsewhere a line at the start and the end."""
    out = console()
    if not out.is_terminal:
        out.print(f"{title}: {total} ...", markup=False)
        yield lambda _steps=1: None
        out.print(f"{title}: done", markup=False)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda steps=1: bar.advance(task, steps)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table: the first column to the left, numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        made.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    out = console()
    out.print()
    out.print(title, markup=False, style="bold", soft_wrap=True)
    out.print(made)
    out.print()


def numbers(sample: Mapping[str, float]) -> tuple[str, str, str]:
    """The cells of a `measure.Sample`: p50 and p99 in ms, calls a second."""
    return (
        f"{sample['p50_ms']:.2f}",
        f"{sample['p99_ms']:.2f}",
        f"{sample['per_second']:,.0f}",
    )


def ratio(row: Mapping[str, Any]) -> str:
    """The cell of `measure.ratios`: of the p50, and in brackets the lowest and the highest turn."""
    lowest, highest = row["p50_ratio_lowest"], row["p50_ratio_highest"]
    return f"{row['p50_ratio']:.2f} ({lowest:.2f}-{highest:.2f})"


def say(*lines: str) -> None:
    """Prints lines as they are."""
    out = console()
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in ("grpcio", "protobuf", "numpy", "memplane-gateway")},
    }


def loaded() -> None:
    """Says so when others keep the cores busy; then the figures are too high, and ratios count."""
    if not hasattr(os, "getloadavg"):  # Windows
        return
    average, cores = os.getloadavg()[0], os.cpu_count() or 1
    if average > cores / 2:
        say(f"! the machine is busy: {average:.1f} processes in the last minute, {cores} cores")


def write_json(file: Path | None, figures: Mapping[str, Any]) -> None:
    """Writes figures, with the machine they were made on; no file, nothing written."""
    if file is not None:
        text = json.dumps(_plain({"machine": machine(), **figures}), indent=2, allow_nan=False)
        file.write_text(text + "\n", encoding="utf-8")


def _plain(figures: Any) -> Any:
    """Figures with null for those that the system did not tell."""
    if isinstance(figures, Mapping):
        return {name: _plain(one) for name, one in figures.items()}
    if isinstance(figures, list | tuple):
        return [_plain(one) for one in figures]
    return None if isinstance(figures, float) and math.isnan(figures) else figures


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
