"""Arrays as PostgreSQL writes them, for where a column of arrays is sent; pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_QUOTED: Final = str.maketrans({'"': '\\"', "\\": "\\\\"})
_SAFE: Final = str.maketrans({"\0": "\1\2", "\1": "\1\1"})


def texts(items: Iterable[str]) -> str:
    """An array of texts."""
    return "{" + ",".join(f'"{item.translate(_QUOTED)}"' for item in items) + "}"


def numbers(items: Iterable[int]) -> str:
    """An array of whole numbers."""
    return "{" + ",".join(map(str, items)) + "}"


def without_zero(text: str) -> str:
    """A text of its own for each text, without U+0000, which PostgreSQL does not keep."""
    return text.translate(_SAFE)
