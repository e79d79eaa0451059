"""Telling people how far words came that take several calls."""

from __future__ import annotations

from memplane_gateway.cli import exits
from memplane_gateway.cli.options import OutputForm


class Progress:
    """Says on stderr, from the second call on, how many memories went so far."""

    def __init__(self, said: str, form: OutputForm) -> None:
        self._said = said
        self._silent = form is OutputForm.JSON
        self._calls = 0

    def __call__(self, count: int) -> None:
        """After each call."""
        self._calls += 1
        if self._calls > 1 and not self._silent:
            exits.say(f"call {self._calls}: {count} {self._said} so far")
