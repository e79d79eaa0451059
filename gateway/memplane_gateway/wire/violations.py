"""Collects every broken rule of a request."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from memplane_gateway.errors import Reason, Violation, invalid
from memplane_gateway.limits import VALUE_ITEMS

MAX_NOTED = 100
"""Rules noted at most, so that a hostile request cannot make a reply larger than itself."""


class Violations:
    """The broken rules of one request so far."""

    def __init__(self, max_values: int = VALUE_ITEMS) -> None:
        self.noted: list[Violation] = []
        self.reason = Reason.INVALID_REQUEST
        self.metadata: dict[str, str] = {}
        self._max_values = max_values
        self._values = 0

    def begin_memory(self) -> None:
        """Count values anew: their number is limited for each memory and filter."""
        self._values = 0

    def may_read(self, values: int, field: str) -> bool:
        """Count the values of a list or map; False when they are too many to read on."""
        self._values += values
        if self._values > self._max_values:
            self.add(field, f"more than {self._max_values} values in lists and maps")
        return self._values <= self._max_values

    def add(self, field: str, description: str) -> None:
        """Note a broken rule."""
        if len(self.noted) < MAX_NOTED:
            self.noted.append(Violation(field, description))

    def raise_if_any(self) -> None:
        """Raise INVALID_ARGUMENT when a rule is broken."""
        if self.noted:
            error = invalid(self.noted, self.reason)
            error.metadata.update(self.metadata)
            raise error

    def name(self, text: str, field: str, max_bytes: int, *, what: str) -> None:
        """Check a label or key: NFC UTF-8 without NUL, 1 to `max_bytes` bytes."""
        if not text:
            self.add(field, f"{what} is empty")
            return
        self.short(text, field, max_bytes)
        if not unicodedata.is_normalized("NFC", text):
            self.add(field, f"{what} is not in Unicode normal form NFC; normalise it")

    def short(self, text: str, field: str, max_bytes: int) -> None:
        """Check a string: no NUL, at most `max_bytes` bytes of UTF-8."""
        # A character has 1 to 4 bytes: most strings need no encoding to be judged.
        if len(text) * 4 > max_bytes and (size := len(text.encode())) > max_bytes:
            self.add(field, f"{size} bytes, but at most {max_bytes} are allowed")
        if "\0" in text:
            self.add(field, "holds a NUL character")

    def count(self, items: Sequence[object], field: str, low: int, high: int) -> None:
        """Check a number of items."""
        if not low <= len(items) <= high:
            self.add(field, f"{len(items)} items, but {low} to {high} are allowed")
