"""Filters as dictionaries: `{"price": {"$gte": 3, "$lt": 9}, "topic": "food"}`.

Several entries must all hold. A name is a dotted path into the attributes (a tuple of names where a
name has a dot in it) and stands beside a value that must be equal, or beside a map of operators.
`$and` and `$or` take lists of filters, `$not` a filter. A map operand without any `$` name is a value
like others: `{"address": {"city": "Paris"}}` is equality with that map.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from memplane._enums import Op
from memplane._errors import InvalidArgument
from memplane._filters import (
    All,
    AnyOf,
    Attribute,
    Expression,
    Negation,
    attr,
    condition,
    to_filter,
)
from memplane._values import article
from memplane.v1 import filter_pb2

FilterLike: TypeAlias = "Expression | Mapping[Any, Any]"
"""A filter: an expression made with `attr`, or a dictionary."""

_OPS: Final = {
    **{f"${op.value}": op for op in Op},
    "$nin": Op.NOT_IN,
}
_CONNECTIVES: Final = ("$and", "$or", "$not")


def filter_message(given: FilterLike | None, field: str) -> filter_pb2.Filter | None:
    """A filter of either form as a message; None and an empty dictionary mean no filter.

    Raises:
        InvalidArgument: It is no filter; the error says where and why.
    """
    if given is None:
        return None
    if isinstance(given, Mapping):
        if not given:
            return None
        given = from_dict(given, field)
    if isinstance(given, Attribute):
        raise InvalidArgument.at(field, "is an attribute alone; compare it: attr('a') == 1")
    if not isinstance(given, Expression):
        raise InvalidArgument.at(
            field,
            f"is {article(type(given).__name__)}; give an expression or a dictionary",
        )
    return to_filter(given, field)


def from_dict(given: Mapping[Any, Any], field: str) -> Expression:
    """The expression that a dictionary means."""
    if not isinstance(given, Mapping):
        raise InvalidArgument.at(field, f"must be a dictionary, not {given!r}")
    if not given:
        raise InvalidArgument.at(field, "is an empty dictionary, which says nothing")
    return _all(_entry(name, operand, field) for name, operand in given.items())


def _all(parts: Iterable[Expression]) -> Expression:
    parts = tuple(parts)
    return parts[0] if len(parts) == 1 else All(parts)


def _entry(name: Any, operand: Any, field: str) -> Expression:
    where = f"{field}[{name!r}]"
    if isinstance(name, str) and name.startswith("$"):
        return _connective(name, operand, where)
    if not isinstance(name, str | tuple):
        raise InvalidArgument.at(where, "a name is a dotted string or a tuple of names")
    path = attr(name)._path  # noqa: SLF001 (same library)
    if isinstance(operand, Expression | Attribute):
        raise InvalidArgument.at(where, "the two forms of a filter do not mix inside a dictionary")
    if isinstance(operand, Mapping) and _has_operators(operand, where):
        return _all(_operator(path, each, value, where) for each, value in operand.items())
    return condition(path, Op.EQ, operand)


def _connective(name: str, operand: Any, where: str) -> Expression:
    if name == "$not":
        return Negation(from_dict(operand, where))
    if name not in _CONNECTIVES:
        if name in _OPS:
            raise InvalidArgument.at(where, f'belongs below a name: {{"price": {{"{name}": ...}}}}')
        raise InvalidArgument.at(where, _unknown(name, _CONNECTIVES))
    if not isinstance(operand, list | tuple) or not operand:
        raise InvalidArgument.at(where, "takes a list of at least one dictionary")
    parts = tuple(from_dict(each, f"{where}[{i}]") for i, each in enumerate(operand))
    if len(parts) == 1:
        return parts[0]
    return All(parts) if name == "$and" else AnyOf(parts)


def _has_operators(operand: Mapping[Any, Any], where: str) -> bool:
    marked = [name for name in operand if isinstance(name, str) and name.startswith("$")]
    if marked and len(marked) < len(operand):
        raise InvalidArgument.at(
            where,
            f"mixes operators ({', '.join(marked)}) with names; "
            'compare with a map as it is by {"$eq": {...}}',
        )
    return bool(marked)


def _operator(path: tuple[str, ...], name: str, operand: Any, where: str) -> Expression:
    if name == "$not":
        if not isinstance(operand, Mapping) or not operand or not _has_operators(operand, where):
            raise InvalidArgument.at(f"{where}['$not']", "takes a dictionary of operators here")
        return Negation(
            _all(_operator(path, each, value, where) for each, value in operand.items())
        )
    op = _OPS.get(name)
    if op is None:
        raise InvalidArgument.at(where, _unknown(name, (*_OPS, "$not")))
    return condition(path, op, operand)


def _unknown(name: str, known: Iterable[str]) -> str:
    import difflib

    known = sorted(known)
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"there is no operator {name}; {hint}"
