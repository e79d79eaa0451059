"""Lengths of time as people write them."""

from __future__ import annotations

import re
from typing import Any

_PERIOD = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhdw]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def seconds(given: Any) -> float:
    """The seconds of a number, or of a text such as 90, 15m or 7d.

    Raises:
        ValueError: It is none.
    """
    if isinstance(given, int | float) and not isinstance(given, bool):
        return _float(given)
    match = _PERIOD.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError("expected seconds, or 90s, 15m, 12h, 7d, 2w")
    return _float(match["number"]) * _SECONDS[match["unit"]]


def _float(given: float | str) -> float:
    try:
        return float(given)
    except OverflowError:
        raise ValueError("is longer than any number of seconds") from None
