"""Metadata and filters over it, with the service's types: strings, float64, bools, lists of strings."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import orjson

from memplane_adapters.pinecone.emulator.errors import bad

Metadata: TypeAlias = dict[str, "str | float | bool | list[str]"]
Test: TypeAlias = Callable[[Mapping[str, Any]], bool]

MOST_BYTES: Final = 40 * 1024
_MOST_OPERANDS: Final = 10_000
_NO_VALUE: Final = object()


def normalized(given: object, record: str) -> Metadata:
    """As it is kept: without nulls, numbers as floats. Refuses all other types, and too much."""
    if not isinstance(given, dict):
        raise bad(f"metadata of {record} must be an object")
    kept: Metadata = {}
    for name, value in given.items():
        if value is None:
            continue
        texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
        if texts or isinstance(value, bool | str):
            kept[name] = value
        elif isinstance(value, int | float):
            kept[name] = float(value)
        else:
            raise bad(
                "Metadata value must be a string, number, boolean or list of strings, got "
                f"'{str(value)[:16]}' for field '{name}'"
            )
    size = len(orjson.dumps(kept))
    if size > MOST_BYTES:
        raise bad(
            f"Metadata size is {size} bytes, which exceeds the limit of {MOST_BYTES} bytes per vector"
        )
    return kept


def compiled(given: object) -> Test:
    """A filter as a function. Refuses what the service does not know."""
    if not isinstance(given, dict) or not given:
        raise bad("filter must be an object with at least one condition")
    tests = [_one(name, wanted) for name, wanted in given.items()]
    return lambda metadata: all(test(metadata) for test in tests)


def _one(name: str, wanted: object) -> Test:
    if name in ("$and", "$or"):
        if not isinstance(wanted, list) or not wanted:
            raise bad(f"the {name} operator must be followed by a list of conditions")
        parts = [compiled(part) for part in wanted]
        joined = all if name == "$and" else any
        return lambda metadata: joined(part(metadata) for part in parts)
    if name.startswith("$"):
        raise bad(f"{name} is not a valid operator")
    if not isinstance(wanted, dict):
        return _condition(name, "$eq", wanted)
    if not wanted:
        raise bad(f"the condition on {name} is empty")
    tests = [_condition(name, word, operand) for word, operand in wanted.items()]
    return lambda metadata: all(test(metadata) for test in tests)


def _condition(name: str, word: str, operand: object) -> Test:
    if word not in _CHECKED:
        raise bad(f"{word} is not a valid operator")
    check, make = _CHECKED[word]
    check(word, operand)
    test = make(operand)
    if word == "$exists":
        return lambda metadata: (name in metadata) is operand

    def tested(metadata: Mapping[str, Any]) -> bool:
        value = metadata.get(name, _NO_VALUE)
        # What is missing matches nothing, $ne and $nin included.
        return value is not _NO_VALUE and test(value)

    return tested


def _scalar(word: str, operand: object) -> None:
    if not isinstance(operand, str | bool | int | float):
        raise bad(f"the {word} operator must be followed by a string, boolean or number")


def _number(word: str, operand: object) -> None:
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise bad(f"the {word} operator must be followed by a number")


def _several(word: str, operand: object) -> None:
    if not isinstance(operand, list) or not operand:
        raise bad(f"the {word} operator must be followed by a list that is not empty")
    if len(operand) > _MOST_OPERANDS:
        raise bad(f"the {word} operator takes at most {_MOST_OPERANDS} values")
    for each in operand:
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            raise bad(f"the {word} operator must be followed by a list of strings or numbers")


def _boolean(word: str, operand: object) -> None:
    if not isinstance(operand, bool):
        raise bad(f"the {word} operator must be followed by a boolean")


def _same(value: object, operand: object) -> bool:
    """Typed; of a list, whether it holds the operand."""
    if isinstance(value, list):
        return operand in value
    if isinstance(value, bool) or isinstance(operand, bool):
        return value is operand
    if isinstance(value, float):
        return isinstance(operand, int | float) and value == float(operand)
    return value == operand


def _compare(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Callable[[Any], bool]]:
    def make(operand: Any) -> Callable[[Any], bool]:
        bound = float(operand)
        return lambda value: isinstance(value, float) and compare(value, bound)

    return make


def _any_of(operand: Any) -> Callable[[Any], bool]:
    texts = frozenset(each for each in operand if isinstance(each, str))
    numbers = frozenset(float(each) for each in operand if not isinstance(each, str))

    def test(value: Any) -> bool:
        if isinstance(value, list):
            return not texts.isdisjoint(value)
        if isinstance(value, bool):
            return False
        return value in (numbers if isinstance(value, float) else texts)

    return test


def _negated(
    make: Callable[[Any], Callable[[Any], bool]],
) -> Callable[[Any], Callable[[Any], bool]]:
    def made(operand: Any) -> Callable[[Any], bool]:
        test = make(operand)
        return lambda value: not test(value)

    return made


def _equal(operand: Any) -> Callable[[Any], bool]:
    return lambda value: _same(value, operand)


_Check: TypeAlias = Callable[[str, object], None]
_CHECKED: Final[dict[str, tuple[_Check, Callable[[Any], Callable[[Any], bool]]]]] = {
    "$eq": (_scalar, _equal),
    "$ne": (_scalar, _negated(_equal)),
    "$gt": (_number, _compare(operator.gt)),
    "$gte": (_number, _compare(operator.ge)),
    "$lt": (_number, _compare(operator.lt)),
    "$lte": (_number, _compare(operator.le)),
    "$in": (_several, _any_of),
    "$nin": (_several, _negated(_any_of)),
    "$exists": (_boolean, _equal),
}
