"""How far something has come, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from memplane_gateway.cli import exits

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_SECONDS = 5.0


class Bar:
    """Says how far it is, while the block lasts.

    Args:
        total: How much there is to do, in any unit. None means that nobody knows.
        lines: Whether lines are said where there is no terminal.
        every: Seconds between lines.
    """

    def __init__(
        self, total: int | None, *, lines: bool = True, every: float = _LINE_SECONDS
    ) -> None:
        self._total = total
        self._lines = lines
        self._every = every
        self._said = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def at(self, done: int, memories: int) -> None:
        """So much was done, and so many memories are written."""
        self.tell(done, f"{memories:,} memories")

    def tell(self, done: int, text: str) -> None:
        """So much was done, and that is to be said of it."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self._total, text=text)
        elif self._lines and time.monotonic() - self._said >= self._every:
            self._said = time.monotonic()
            share = f", {100 * done // self._total} %" if self._total else ""
            exits.say(f"{text}{share}")

    def expect(self, total: int) -> None:
        """How much there is to do, now that it is known; 0 is not known."""
        self._total = total or None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total, text="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
