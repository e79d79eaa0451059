"""What a mapping makes of a row: a memory, or the reason why there is none. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from memplane_adapters.contract import ForeignRow, Value, Vector, instant
from memplane_gateway.adopting.fields import MISSING, Field, FieldError, below, kind_of
from memplane_gateway.adopting.mapping import AllBut, Mapping, Time, TimeFormat, Vectors
from memplane_gateway.limits import VALUE_DEPTH
from memplane_gateway.memory.model import ABSENT, Absent, Episode, EpisodeType

LENGTH_TOLERANCE: Final = 1e-3
"""How far from 1 a vector's length may be so that every metric ranks it as the cosine does."""
_LEAST_INT, _LARGEST_INT = -(2**63), 2**63 - 1
_EARLIEST: Final = -62_135_596_800_000_000
_LATEST: Final = 253_402_300_799_999_999
_MICROS: Final = {TimeFormat.UNIX_SECONDS: 1_000_000, TimeFormat.UNIX_MILLIS: 1_000}


@dataclass(frozen=True, slots=True)
class Mapped:
    """A memory that a row becomes."""

    row: str
    """The vendor's id of the row."""
    namespace: tuple[str, ...]
    key: str
    text: str
    attributes: AnyMapping[str, Value] = field(default_factory=dict)
    value: Value | Absent = ABSENT
    importance: float | None = None
    episode: Episode | None = None
    """None for SEMANTIC."""
    vector: Vector | None = None
    """As the row has it. None where the route's embedder is to make one."""


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row becomes no memory."""

    row: str
    """The vendor's id of the row."""
    setting: str
    """Of the mapping, for example "text"; empty where it is none's."""
    reason: str

    def __str__(self) -> str:
        return f"{self.setting}: {self.reason}" if self.setting else self.reason


class _RefusedError(Exception):
    """The row does not map."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(setting, reason)
        self.setting = setting
        self.reason = reason


def map_row(row: ForeignRow, mapping: Mapping, metric: str = "cosine") -> Mapped | RowProblem:
    """The memory that a row becomes.

    Args:
        row: The row, with its vector where the mapping keeps vectors.
        mapping: What to make of it.
        metric: How the collection compares vectors.
    """
    try:
        return Mapped(
            row.id,
            tuple(
                _word(row, label, f"namespace[{at}]") if isinstance(label, Field) else label
                for at, label in enumerate(mapping.namespace)
            ),
            _word(row, mapping.key, "key"),
            _text(row, mapping.text),
            _attributes(row, mapping),
            _optional(row, mapping.value, "value"),
            _importance(row, mapping.importance),
            _episode(row, mapping),
            _vector(row.vector, metric) if mapping.vector is Vectors.KEEP else None,
        )
    except _RefusedError as refused:
        return RowProblem(row.id, refused.setting, refused.reason)


def _found(row: ForeignRow, place: Field, setting: str) -> Any:
    try:
        return place.of(row)
    except FieldError as error:
        raise _RefusedError(setting, f"{place} {error}") from None


def _required(row: ForeignRow, place: Field, setting: str) -> Any:
    found = _found(row, place, setting)
    if found is MISSING:
        raise _RefusedError(setting, f"{place} is missing")
    return found


def _text(row: ForeignRow, place: Field) -> str:
    found = _required(row, place, "text")
    if not isinstance(found, str):
        raise _RefusedError("text", f"{place} is {kind_of(found)}, no string")
    if not found.strip():
        raise _RefusedError("text", f"{place} is empty")
    return found


def _word(row: ForeignRow, place: Field, setting: str) -> str:
    """A label or a key: a string, or a whole number as people write it."""
    found = _required(row, place, setting)
    if isinstance(found, str):
        return found
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    raise _RefusedError(setting, f"{place} is {_what(found)}, no string and no whole number")


def _word_or_none(row: ForeignRow, place: Field | None, setting: str) -> str:
    if place is None or _found(row, place, setting) is MISSING:
        return ""
    return _word(row, place, setting)


def _what(found: object) -> str:
    return "a number with a fraction" if isinstance(found, float) else kind_of(found)


def _attributes(row: ForeignRow, mapping: Mapping) -> dict[str, Value]:
    chosen = mapping.attributes
    if isinstance(chosen, AllBut):
        return _all_but(row, chosen, mapping.text)
    attributes: dict[str, Value] = {}
    for attribute in chosen:
        setting = f"attributes.{attribute.name}"
        found = _found(row, attribute.field, setting)
        if found is not MISSING:
            attributes[attribute.name] = _value(found, setting)
    return attributes


def _all_but(row: ForeignRow, chosen: AllBut, text: Field) -> dict[str, Value]:
    found = below(row.payload, chosen.under)
    if found is MISSING:
        return {}
    if not isinstance(found, AnyMapping):
        where = ".".join(chosen.under)
        raise _RefusedError("attributes", f"{where} is {kind_of(found)}, no map")
    left_out = set(chosen.names)
    if not text.own and text.json is None and text.path[:-1] == chosen.under:
        left_out.add(text.name)  # it need not be there twice
    return {
        str(name): _value(each, f"attributes.{name}")
        for name, each in found.items()
        if name not in left_out
    }


def _optional(row: ForeignRow, place: Field | None, setting: str) -> Value | Absent:
    found = MISSING if place is None else _found(row, place, setting)
    return ABSENT if found is MISSING else _value(found, setting)


def _value(given: Any, setting: str, depth: int = 1) -> Value:
    """A datum as a Value."""
    if given is None or isinstance(given, bool | str):
        return given
    if isinstance(given, int):
        if not _LEAST_INT <= given <= _LARGEST_INT:
            raise _RefusedError(setting, "is a whole number beyond 64 bits")
        return given
    if isinstance(given, float):
        if not math.isfinite(given):
            raise _RefusedError(setting, "is NaN or infinite, which no filter could find")
        return given
    if depth > VALUE_DEPTH:
        raise _RefusedError(setting, f"nests more than {VALUE_DEPTH} deep")
    if isinstance(given, AnyMapping):
        return {str(name): _value(each, setting, depth + 1) for name, each in given.items()}
    if isinstance(given, list | tuple):
        return [_value(each, setting, depth + 1) for each in given]
    raise _RefusedError(setting, f"is {kind_of(given)}, which memories cannot hold")


def _importance(row: ForeignRow, place: Field | None) -> float | None:
    found = MISSING if place is None else _found(row, place, "importance")
    if found is MISSING:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _RefusedError("importance", f"{place} is {kind_of(found)}, no number")
    if not 0.0 <= found <= 1.0:
        raise _RefusedError("importance", f"{place} is not between 0 and 1")
    return float(found)


def _episode(row: ForeignRow, mapping: Mapping) -> Episode | None:
    if mapping.time is None:
        return None
    return Episode(
        type=mapping.episode_type or EpisodeType.CUSTOM,
        event_time=_time(row, mapping.time),
        session_id=_word_or_none(row, mapping.session_id, "session_id"),
        agent_id=_word_or_none(row, mapping.agent_id, "agent_id"),
        actor=_word_or_none(row, mapping.actor, "actor"),
        input=_optional(row, mapping.input, "input"),
        output=_optional(row, mapping.output, "output"),
    )


def _time(row: ForeignRow, time: Time) -> int:
    """Microseconds since 1970."""
    found = _required(row, time.field, "time")
    micros: int | None
    if time.format is TimeFormat.RFC_3339:
        nanos = instant(found.strip().replace(" ", "T", 1)) if isinstance(found, str) else None
        micros = None if nanos is None else nanos // 1000
    else:
        micros = _micros(found, _MICROS[time.format])
    if micros is None or not _EARLIEST <= micros <= _LATEST:
        said = f"{time.format.value} (there are: {', '.join(TimeFormat)})"
        raise _RefusedError("time", f"{time.field} is no instant as {said}")
    return micros


def _micros(found: object, unit: int) -> int | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    if isinstance(found, int):
        return found * unit
    return round(found * unit) if math.isfinite(found) else None


def _vector(vector: Vector | None, metric: str) -> Vector:
    if vector is None:
        raise _RefusedError("vector", "the row has none")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not math.isfinite(length):
        raise _RefusedError("vector", "holds NaN or infinity")
    if length == 0.0:
        raise _RefusedError("vector", "is zero, which has no direction")
    if metric != "cosine" and abs(length - 1.0) > LENGTH_TOLERANCE:
        raise _RefusedError(
            "vector", f"its length is not 1, so that {metric} and cosine rank apart"
        )
    return vector
