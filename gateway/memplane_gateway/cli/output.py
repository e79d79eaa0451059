"""Printing: tables for people, JSON with stable names for programs."""

from __future__ import annotations

import base64
import dataclasses
import json
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

WIDEST_CELL = 100


def rfc3339(time: datetime | None) -> str | None:
    """An instant the way JSON and people read it."""
    if time is None:
        return None
    return time.isoformat().replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """Makes JSON of what the client returns: bytes become base64, times RFC 3339, periods seconds."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, BaseException):
        return error(value)
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(inner) for name, inner in value.items()}
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return str(value)


def error(problem: BaseException) -> dict[str, Any]:
    """What went wrong with a call or an item."""
    return {
        "code": str(getattr(problem, "code", "UNKNOWN")),
        "reason": getattr(problem, "reason", ""),
        "message": getattr(problem, "message", str(problem)),
        "metadata": dict(getattr(problem, "metadata", {})),
    }


def memory(given: Any) -> dict[str, Any]:
    """A memory as JSON: its ref stands flat, and what is absent is null or left out."""
    shown = {"kind": given.kind.value, "namespace": list(given.namespace), "key": given.key}
    fields: dict[str, Any] = plain(given)
    for name in ("ref", "has_value", "vector"):
        fields.pop(name)
    for text in fields["indexed_texts"]:
        text.pop("vector")
    if not given.has_value:
        fields.pop("value")
    return shown | fields


def memory_row(given: Any) -> tuple[Any, ...]:
    """The cells of a memory: namespace, key, text (or payload), attributes."""
    text = given.text or (output_value(given.value) if given.has_value else None)
    return (namespace(given.namespace) or "-", given.key, text, dict(given.attributes) or None)


def namespace(labels: Sequence[str]) -> str:
    """A namespace the way the command line takes it, so that it can be copied back."""
    return " ".join(f"-n {shlex.quote(label)}" for label in labels)


def row_period(period: timedelta | None) -> str | None:
    """A period for a table, in its largest unit: "90d"."""
    if period is None:
        return None
    seconds = period.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f}".removesuffix(".0") + unit
    return f"{seconds:.1f}".removesuffix(".0") + "s"


def row_time(time: datetime | None) -> str | None:
    """An instant for a table: to the second, with a space at which a narrow terminal may wrap."""
    shown = rfc3339(None if time is None else time.replace(microsecond=0))
    return None if shown is None else shown.replace("T", " ")


def memory_pairs(given: Any) -> Iterable[tuple[str, Any]]:
    """A memory as names and values; what is absent or empty is left out."""
    for name, value in memory(given).items():
        if name == "embedding" and value:
            yield name, f"{value['provider']}/{value['model']}/{value['dimension']}"
        elif name == "value":
            yield name, value if value is not None else "null"
        elif name not in _INNER and value not in ("", {}, [], None, False):
            yield name, value


_INNER = ("content_hash", "revision")


def output_value(value: Any) -> str:
    """A payload on one line."""
    return json.dumps(plain(value), ensure_ascii=False)


def write_result(given: Any) -> dict[str, Any]:
    """What became of a write, as JSON."""
    shown = {
        "kind": given.ref.kind.value,
        "namespace": list(given.ref.namespace),
        "key": given.ref.key,
    }
    fields: dict[str, Any] = plain(given)
    fields.pop("ref")
    return shown | fields


def print_json(document: Any, *, one_line: bool = False) -> None:
    """Writes one JSON document, or one of JSON Lines."""
    indent = None if one_line or not sys.stdout.isatty() else 2
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=indent) + "\n")


def visible(text: str) -> str:
    """Makes control characters harmless: what is stored must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def cell(value: Any) -> str:
    """One line for a cell of a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    value = plain(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return visible(" ".join(text.split()) if "\n" in text else text)


def shortened(text: str, width: int = WIDEST_CELL) -> str:
    """Cuts a long text for a table."""
    return text if len(text) <= width else text[: width - 3] + "..."


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, shorten: bool = False
) -> None:
    """Prints rows: with lines on a terminal, else as plain columns that a script can cut."""
    cells = [[cell(value) for value in row] for row in rows]
    if shorten:
        cells = [
            [
                text if column in _WHOLE else shortened(text)
                for column, text in zip(columns, row, strict=True)
            ]
            for row in cells
        ]
    if sys.stdout.isatty():
        _rich(columns, cells)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


_WHOLE = ("KEY",)
"""Columns that people copy: never cut."""

_UNBROKEN = 40
"""Cells of these columns stay on one line up to so many characters: a UUID does."""

_NARROWEST = {"UPDATED": 10}
"""A date is not broken."""

COLOURS = {"ok": "green", "serving": "green", "warn": "yellow", "fail": "red", "not serving": "red"}


def _rich(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = list(rows)
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    room = console.width - 2 * len(columns)  # between columns: a space and a line that is none
    for column, width in zip(columns, _widths(columns, lines, room), strict=True):
        table.add_column(column, overflow="fold", width=width)
    for line in lines:
        table.add_row(*(Text(text, style=COLOURS.get(text, "")) for text in line))
    console.print(table, crop=False)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """What each column gets: all that it wants, or else what it needs and a fair share."""
    from rich.cells import cell_len

    wanted: list[int] = []
    widths: list[int] = []
    for index, column in enumerate(columns):
        wide = max([len(column), *(cell_len(row[index]) for row in rows)])
        whole = wide if column in _WHOLE and wide <= _UNBROKEN else 0
        least = max(_NARROWEST.get(column, 0), whole, *map(len, column.split()), 0)
        wanted.append(wide)
        widths.append(min(least, wide))
    for _ in range(room - sum(widths)):
        growing = [at for at, width in enumerate(widths) if width < wanted[at]]
        if not growing:
            break
        widths[min(growing, key=widths.__getitem__)] += 1
    return widths


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Prints names and values, one a line."""
    known = [(name, cell(value)) for name, value in pairs if value is not None]
    width = max((len(name) for name, _ in known), default=0)
    for name, text in known:
        sys.stdout.write(f"{name.ljust(width)}  {text}\n")
