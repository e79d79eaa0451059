"""What a format gives: memories to put, and what is no memory and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from memplane import InvalidArgument, Kind, Put


@dataclass(frozen=True, slots=True)
class Into:
    """What memories get that do not say it themselves."""

    kind: Kind
    """Of JSON Lines; a conversation is EPISODIC."""
    namespace: tuple[str, ...]
    """All namespaces lie below this one."""
    name: str
    """What the file is called, without its ending: names conversations that have no id."""
    time: datetime
    """When turns happened that do not say it: of a file the time of its last change."""
    with_vectors: bool = False
    """Whether vectors that an embedder made stay, as if a client had given them."""


class Found(NamedTuple):
    """A memory to put."""

    where: str
    """Its place, such as "line 3"."""
    put: Put


class Problem(NamedTuple):
    """Something that is no memory."""

    where: str
    """Its place."""
    reason: str
    """A sentence about the place: "is not JSON"."""


Entry: TypeAlias = Found | Problem


class FormatError(Exception):
    """The whole of what was given is not in the format."""


UNREADABLE: Final = (InvalidArgument, ValueError, OverflowError, RecursionError)
"""What making a memory of what stands in a file may raise; anything else is a fault of ours."""


def entry(where: str, make: Callable[[], Put]) -> Entry:
    """What a function makes, if it is a memory that a gateway may be sent."""
    try:
        put = make()
        put.check()
    except UNREADABLE as error:
        return problem(where, error)
    return Found(where, put)


def problem(where: str, error: Exception) -> Problem:
    """What one of UNREADABLE says to people."""
    if isinstance(error, InvalidArgument):
        return Problem(where, _said(error))
    if isinstance(error, RecursionError):
        return Problem(where, "nests too deeply")
    if isinstance(error, OverflowError):
        return Problem(where, f"holds a number or a time that is out of range: {error}")
    return Problem(where, str(error))


def _said(error: InvalidArgument) -> str:
    violations = error.violations
    if not violations:
        return error.message
    return "; ".join(
        f"{each.field.removeprefix('put.').removeprefix('memory.')}: {each.description}"
        for each in violations
    )
