"""What the command lines of the measurements have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import process, report


def parser(doc: str | None) -> argparse.ArgumentParser:
    """--quick, --json and --memplane; the first line of the documentation says what is measured."""
    made = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    made.add_argument("--quick", action="store_true", help="fewer memories, calls and repeats")
    made.add_argument("--json", type=Path, help="where to write all figures")
    made.add_argument("--memplane", type=Path, default=process.MEMPLANE, help="the program")
    return made


def run(
    name: str,
    options: argparse.ArgumentParser,
    measured: Callable[[argparse.Namespace], Mapping[str, Any]],
    arguments: Sequence[str] | None,
) -> None:
    """Measures, and writes the figures under that name; ends with a sentence when it cannot."""
    given = options.parse_args(arguments)
    try:
        figures = measured(given)
    except process.BenchError as error:
        sys.exit(f"{name}: {error}")
    report.write_json(given.json, {name: figures})
