"""What a run has measured; shown at its end, whether or not pytest captures output."""

from __future__ import annotations

SAID: list[str] = []


def say(text: str) -> None:
    """Note a figure."""
    SAID.append(text)
