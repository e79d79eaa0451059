"""What the checks of `memplane doctor` find."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(NamedTuple):
    """One line of the table."""

    name: str
    verdict: Verdict
    found: str
    do: str = ""
