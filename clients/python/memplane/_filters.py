"""Filters as expressions: `(attr("price") >= 3) & ~(attr("topic") == "food")`.

A filter is two-valued: a condition holds or does not. Comparison is typed (True is not 1, "10" is
not 10), int and float compare as numbers, and what is missing equals null. The other form, with
dictionaries, is in `_filter_dicts`; both become the same message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeAlias

from memplane import _values
from memplane._enums import Op, to_wire
from memplane._errors import InvalidArgument
from memplane.v1 import filter_pb2

MAX_DEPTH: Final = 8
MAX_CONDITIONS: Final = 64
MAX_OPERANDS: Final = 1000
_MAX_NAMES: Final = 16

_ORDERED: Final = frozenset({Op.GT, Op.GTE, Op.LT, Op.LTE})
_LISTS: Final = frozenset({Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL})


class Expression:
    """A filter. Combine with `&` (and), `|` (or) and `~` (not)."""

    __slots__ = ()

    def __and__(self, other: Expression) -> All:
        return All(_parts(self, All) + _parts(other, All)) if _joins(other) else NotImplemented

    def __or__(self, other: Expression) -> AnyOf:
        return (
            AnyOf(_parts(self, AnyOf) + _parts(other, AnyOf)) if _joins(other) else NotImplemented
        )

    def __invert__(self) -> Expression:
        return Negation(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a filter is neither true nor false here: combine filters with & | ~ instead of "
            "and, or, not, each in parentheses, and write a range as (a >= 1) & (a < 9)"
        )


def _joins(other: object) -> bool:
    return isinstance(other, Expression)


def _parts(expression: Expression, kind: type[All | AnyOf]) -> tuple[Expression, ...]:
    """The parts of an expression of one kind; so a & b & c is one `all` of three, not two nested."""
    return expression.parts if isinstance(expression, kind) else (expression,)


@dataclass(frozen=True, slots=True)
class Condition(Expression):
    """What stands at a path, compared with an operand."""

    path: tuple[str, ...]
    op: Op
    operand: Any = None


@dataclass(frozen=True, slots=True)
class All(Expression):
    """Holds when all parts hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf(Expression):
    """Holds when any part holds."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negation(Expression):
    """Holds when the part does not."""

    part: Expression

    def __invert__(self) -> Expression:
        return self.part


class Attribute:
    """What stands at a path into the attributes. Compare it to get a filter."""

    __slots__ = ("_path",)
    __hash__: ClassVar[None]  # type: ignore[assignment]
    __array_ufunc__: ClassVar[None] = None
    """So that NumPy leaves `np.int64(3) < attr("a")` to this class."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self._path = path

    def __repr__(self) -> str:
        return f"attr({list(self._path)!r})"

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        """Equal, typed; `== None` matches what is missing too."""
        return self._condition(Op.EQ, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        """Exactly what `==` does not match, the missing included."""
        return self._condition(Op.NE, other)

    def __gt__(self, other: float | datetime | str) -> Condition:
        """Greater than a number, an aware datetime, or an RFC 3339 date or date-time string."""
        return self._condition(Op.GT, other)

    def __ge__(self, other: float | datetime | str) -> Condition:
        """Greater or equal; as `>`."""
        return self._condition(Op.GTE, other)

    def __lt__(self, other: float | datetime | str) -> Condition:
        """Less; as `>`."""
        return self._condition(Op.LT, other)

    def __le__(self, other: float | datetime | str) -> Condition:
        """Less or equal; as `>`."""
        return self._condition(Op.LTE, other)

    def is_in(self, values: Collection[_values.ValueLike]) -> Condition:
        """Equal to one of at most 1,000 values. An empty collection matches nothing."""
        return self._condition(Op.IN, values)

    def not_in(self, values: Collection[_values.ValueLike]) -> Condition:
        """Equal to none of at most 1,000 values: exactly what `is_in` does not match."""
        return self._condition(Op.NOT_IN, values)

    def contains(self, value: _values.ValueLike) -> Condition:
        """A list that holds the value as an item."""
        return self._condition(Op.CONTAINS, value)

    def contains_any(self, values: Collection[_values.ValueLike]) -> Condition:
        """A list that holds at least one of at most 1,000 values."""
        return self._condition(Op.CONTAINS_ANY, values)

    def contains_all(self, values: Collection[_values.ValueLike]) -> Condition:
        """A list that holds all of at most 1,000 values."""
        return self._condition(Op.CONTAINS_ALL, values)

    def starts_with(self, prefix: str) -> Condition:
        """A string that begins with the prefix; letter case counts."""
        return self._condition(Op.STARTS_WITH, prefix)

    def exists(self, wanted: bool = True) -> Condition:  # noqa: FBT001, FBT002 (reads as a sentence)
        """Whether the attribute is there, null included."""
        return self._condition(Op.EXISTS, wanted)

    def is_null(self, wanted: bool = True) -> Condition:  # noqa: FBT001, FBT002
        """Whether the attribute is null or missing."""
        return self._condition(Op.IS_NULL, wanted)

    if not TYPE_CHECKING:  # so that a type checker still reports a name that is not there

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(_no_method(name), name=name, obj=self)

    def __contains__(self, item: object) -> NoReturn:
        raise TypeError("write attr(...).contains(item) instead of `item in attr(...)`")

    def __bool__(self) -> NoReturn:
        raise TypeError("an attribute alone is no filter: compare it, for example attr('a') == 1")

    def _condition(self, op: Op, operand: Any) -> Condition:
        return condition(self._path, op, operand)


def _no_method(name: str) -> str:
    import difflib

    known = [each for each in vars(Attribute) if not each.startswith("_")]
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if nearest:
        return f"attr(...) has no {name}; write attr(...).{nearest[0]}(...)"
    return f"attr(...) has no {name}; it has {', '.join(known)}, and == != > >= < <="


Name: TypeAlias = "str | list[str] | tuple[str, ...]"


def attr(*path: Name) -> Attribute:
    """The attribute at a path, to be compared.

    `attr("a.b")` and `attr("a", "b")` are both b inside the map a; a name with a dot in it is
    reached by the list form, `attr(["a.b"])`. System fields are named with "@", for example
    `attr("@event_time")`; `memplane.fields` has them as constants.

    Raises:
        InvalidArgument: There is no name, an empty one, or more than 16.
    """
    names: list[str] = []
    for part in path:
        if isinstance(part, list | tuple):
            names.extend(_values.text(name, "filter.path") for name in part)
        else:
            names.extend(_values.text(part, "filter.path").split("."))
    if not names or not all(names):
        raise InvalidArgument.at(
            "filter.path",
            f"{path!r} has an empty name; a dot separates names, "
            "and a name with a dot in it is given in a list",
        )
    if len(names) > _MAX_NAMES:
        raise InvalidArgument.at("filter.path", f"has {len(names)} names, {_MAX_NAMES} at most")
    return Attribute(tuple(names))


def condition(path: tuple[str, ...], op: Op, operand: Any) -> Condition:
    """A condition whose operand has the right shape for its operator.

    Raises:
        InvalidArgument: It has not; the error says what the operator takes.
    """
    where = f"filter.{'.'.join(path)}.{op.value}"
    if isinstance(operand, Expression | Attribute):
        raise InvalidArgument.at(where, "compares with a value, not with an attribute or a filter")
    if op in _LISTS:
        if isinstance(operand, str | bytes | bytearray | Mapping) or not isinstance(
            operand, Collection
        ):
            raise InvalidArgument.at(where, f"takes a list, not {operand!r}")
        operand = list(operand)
        if len(operand) > MAX_OPERANDS:
            raise InvalidArgument.at(
                where, f"takes at most {MAX_OPERANDS} values, not {len(operand)}"
            )
    elif op in _ORDERED:
        if isinstance(operand, bool) or not isinstance(operand, int | float | str | datetime):
            raise InvalidArgument.at(
                where,
                "takes a number, an aware datetime, or an RFC 3339 date or date-time string, "
                f"not {operand!r}{_values.hint(operand)}",
            )
    elif op is Op.CONTAINS:
        if isinstance(operand, list | tuple):
            raise InvalidArgument.at(
                where, "takes one item, not a list; use contains_any or contains_all"
            )
    elif op is Op.STARTS_WITH:
        _values.text(operand, where)
    elif op in (Op.EXISTS, Op.IS_NULL):
        _values.flag(operand, where)
    _values.to_value(operand, where)  # so that an error shows where the filter is written
    return Condition(path, op, operand)


def to_filter(expression: Expression, field: str) -> filter_pb2.Filter:
    """An expression as a message.

    Raises:
        InvalidArgument: It is more than 8 deep or has more than 64 conditions.
    """
    count = _count(expression, field, 1)
    if count > MAX_CONDITIONS:
        raise InvalidArgument.at(field, f"has {count} conditions, {MAX_CONDITIONS} at most")
    message = filter_pb2.Filter()
    _fill(message, expression)
    return message


def _children(expression: Expression) -> tuple[Expression, ...]:
    if isinstance(expression, All | AnyOf):
        return expression.parts
    return (expression.part,) if isinstance(expression, Negation) else ()


def _count(expression: Expression, field: str, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise InvalidArgument.at(field, f"is more than {MAX_DEPTH} deep")
    if isinstance(expression, Condition):
        return 1
    return sum(_count(part, field, depth + 1) for part in _children(expression))


def _fill(message: filter_pb2.Filter, expression: Expression) -> None:
    if isinstance(expression, Condition):
        where = f"filter.{'.'.join(expression.path)}"
        message.condition.path.extend(expression.path)
        message.condition.op = to_wire(Op, expression.op, where)
        message.condition.operand.CopyFrom(_values.to_value(expression.operand, where))
    elif isinstance(expression, Negation):
        _fill(message.negation, expression.part)
    else:
        filters = (message.all if isinstance(expression, All) else message.any).filters
        for part in _children(expression):
            _fill(filters.add(), part)
