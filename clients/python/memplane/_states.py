"""The state of a workflow: what was changed, and how two changes go together. No I/O."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Self, TypeAlias

from memplane import _values
from memplane._enums import Durability
from memplane._errors import Aborted, InvalidArgument, MemplaneError, StateConflict
from memplane._models import Memory, Ref, StateUpdate
from memplane.v1 import value_pb2

StateMap: TypeAlias = dict[str, Any]
"""A state outside of its memory: names, and values as `ValueLike` says."""
Change: TypeAlias = Callable[[StateMap], Any]
"""Changes the state that it is given, in place. It may run several times."""
Merge: TypeAlias = Callable[[StateMap, StateMap, StateMap], Mapping[str, Any]]
"""Makes one state of three: as it was read, as it is here, and as another writer left it."""
MergeLike: TypeAlias = Merge | Literal["keys", "never"]
AsyncUpdated: TypeAlias = Awaitable[StateUpdate]
Updated: TypeAlias = StateUpdate

ATTEMPTS: Final = 32
"""How often a change is made before it gives up; each time, another writer got ahead."""

_FIRST_PAUSE_SECONDS: Final = 0.01
_LONGEST_PAUSE_SECONDS: Final = 1.0
# Another writer was first. Whatever else is ABORTED has not been decided yet.
_LOST: Final = frozenset({"ETAG_MISMATCH", "ETAG_ON_MISSING", "MEMORY_EXISTS", "MEMORY_NOT_FOUND"})


class Snapshot:
    """A state at one instant, encoded name by name: a change in place, however deep, shows against it.

    Encoded, because Python's own `==` takes True for 1 and 1 for 1.0, which are different values.
    """

    __slots__ = ("_encoded",)

    def __init__(self, encoded: Mapping[str, bytes]) -> None:
        self._encoded = encoded

    @classmethod
    def of(cls, state: Mapping[str, Any], field: str) -> Self:
        """The snapshot of a state.

        Raises:
            InvalidArgument: It is no map, or holds what cannot be stored.
        """
        if not isinstance(state, Mapping):
            raise InvalidArgument.at(field, f"must be a mapping, not {type(state).__name__}")
        entries = _values.to_value(state, field).map_value.entries
        return cls(
            {name: value.SerializeToString(deterministic=True) for name, value in entries.items()}
        )

    def value(self) -> StateMap:
        """The state, as a copy of its own."""
        return {
            name: _values.from_value(value_pb2.Value.FromString(encoded))
            for name, encoded in self._encoded.items()
        }

    def touched(self, later: Snapshot) -> set[str]:
        """The names that were set, changed or removed between this and a later snapshot."""
        before, after = self._encoded, later._encoded
        return {name for name in (*before, *after) if before.get(name) != after.get(name)}

    def with_changes(self, base: Snapshot, mine: Snapshot) -> Snapshot:
        """This, with what was touched between `base` and `mine`."""
        encoded = dict(self._encoded)
        for name in base.touched(mine):
            if name in mine._encoded:
                encoded[name] = mine._encoded[name]
            else:
                encoded.pop(name, None)
        return Snapshot(encoded)


@dataclass(frozen=True, slots=True)
class Version:
    """What was read: the state, and the memory that holds it."""

    snapshot: Snapshot
    memory: Memory | None
    """None where there was none; the state is then empty."""

    @classmethod
    def of(cls, memory: Memory | None) -> Version:
        """The version that a memory is.

        Raises:
            InvalidArgument: The memory holds a value that is no map.
        """
        if memory is None or not memory.has_value:
            return cls(Snapshot({}), memory)
        if not isinstance(memory.value, Mapping):
            raise InvalidArgument.at(
                "key",
                f"{memory.key!r} holds {_values.article(type(memory.value).__name__)} and no map, "
                "so it is no state; read it with value() and write it with set()",
            )
        return cls(Snapshot.of(memory.value, "state"), memory)


@dataclass(frozen=True, slots=True)
class Lost:
    """A write that another writer was ahead of."""

    error: MemplaneError
    version: Version
    """What is there now."""


@dataclass(frozen=True, slots=True)
class StateOptions:
    """How a state is kept."""

    ttl: timedelta | float | None
    merge: MergeLike
    min_durability: Durability | str | None
    timeout: float | None

    def __post_init__(self) -> None:
        if not callable(self.merge) and self.merge not in ("keys", "never"):
            raise InvalidArgument.at(
                "merge", f"must be 'keys', 'never' or a function, not {self.merge!r}"
            )

    def merged(self, ref: Ref, base: Version, mine: Snapshot, lost: Lost) -> Snapshot:
        """What to write after another writer was ahead of a block.

        Args:
            ref: The memory of the state.
            base: What was read.
            mine: What the block made of it.
            lost: What the other writer left.

        Raises:
            StateConflict: The two do not go together.
            InvalidArgument: The function of the caller gave no map.
        """
        theirs = lost.version.snapshot
        gone = base.memory is not None and lost.version.memory is None
        if gone:
            why = "is gone: it was deleted, or has expired, while this block ran"
        elif self.merge == "never":
            why = "was written by another writer while this block ran"
        elif callable(self.merge):
            made = self.merge(base.snapshot.value(), mine.value(), theirs.value())
            return Snapshot.of(made, "merge")
        elif both := _both_touched(base, mine, lost):
            names = ", ".join(map(repr, both))
            why = f"was written by another writer while this block ran, and both touched {names}"
        else:
            return theirs.with_changes(base.snapshot, mine)
        what_to_do = "run the block again, or use update(change), which does that by itself"
        if self.merge == "keys" and not gone:
            what_to_do += ", or give merge= a function"
        raise conflict(ref, f"{why}; {what_to_do}", base, mine, lost)


def gave_up(ref: Ref, attempts: int, base: Version, mine: Snapshot, lost: Lost) -> StateConflict:
    """The error of a state that others wrote faster than this writer could."""
    why = f"was written by other writers in each of {attempts} tries; try again when it is calmer"
    return conflict(ref, why, base, mine, lost)


def conflict(ref: Ref, why: str, base: Version, mine: Snapshot, lost: Lost) -> StateConflict:
    """The error of a state that was not written."""
    there = lost.version.memory
    error = StateConflict(
        f"nothing was written here: the state {ref.key!r} {why}",
        reason=lost.error.reason,
        metadata={"etag": there.etag} if there is not None else {},
        retry_after=lost.error.retry_after,
        keys=_both_touched(base, mine, lost),
        base=base.snapshot.value(),
        mine=mine.value(),
        theirs=lost.version.snapshot.value() if there is not None else None,
    )
    error.__cause__ = lost.error
    return error


def _both_touched(base: Version, mine: Snapshot, lost: Lost) -> tuple[str, ...]:
    """The names that two writers touched; also to the same value, as when both have counted."""
    theirs = lost.version.snapshot
    return tuple(sorted(base.snapshot.touched(mine) & base.snapshot.touched(theirs)))


def attempts_of(given: int) -> int:
    """How often to try, at least once."""
    return _values.whole(given, "attempts", 1)


def is_lost(error: MemplaneError) -> bool:
    """Whether a conditional write was refused because another writer was first."""
    return error.reason in _LOST


def is_undecided(error: MemplaneError) -> bool:
    """Whether the very same request is worth sending again: it was neither done nor refused yet."""
    return isinstance(error, Aborted) and not is_lost(error)


def pause_after(attempt: int, error: MemplaneError) -> float:
    """Seconds to wait after the given try (1 is the first) before the next.

    At random, and longer each time, so that writers that met once do not meet again.
    """
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(attempt, 16) / 2)
    return max(random.uniform(0, longest), error.retry_after or 0.0)  # noqa: S311 (no secret)
