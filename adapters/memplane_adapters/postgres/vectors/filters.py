"""Filters as SQL over typed tokens and numbers; pure functions."""

from __future__ import annotations

from typing import Final

from memplane_adapters.contract import Filter
from memplane_adapters.kit.expressions import (
    AllOf,
    Comparison,
    Expression,
    Has,
    Not,
    Range,
    express,
    negations_at_tokens,
    simplified,
)
from memplane_adapters.postgres.vectors.arrays import without_zero
from memplane_adapters.postgres.walks import Arguments, Condition, always

NUMBER: Final = "n:"
INSTANT: Final = "i:"
"""What the names of numbers and of instants begin with."""

_SIGNS: Final[dict[Comparison, str]] = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def condition(tree: Filter | None) -> Condition:
    """What a filter asks of a row. Raises UNSUPPORTED for what is not PUSHED."""
    if tree is None:
        return always
    expression = simplified(negations_at_tokens(express(tree)))
    return lambda arguments: f"({_sql(expression, arguments)})"


def _sql(expression: Expression, arguments: Arguments) -> str:
    """Null for a range where there is no number: as false, since no negation stands above one."""
    if isinstance(expression, Has):
        tokens = [without_zero(token) for token in expression.tokens]
        return f"tokens && {arguments.name(tokens)}::text[]"
    if isinstance(expression, Not):
        return f"not ({_sql(expression.part, arguments)})"
    if isinstance(expression, Range):
        name = (NUMBER if expression.sort == "number" else INSTANT) + without_zero(expression.name)
        number = f"(numbers -> {arguments.name(name)}::text)::float8"
        bound = f"{arguments.name(expression.bound)}::float8"
        return f"{number} {_SIGNS[expression.comparison]} {bound}"
    parts = [f"({_sql(part, arguments)})" for part in expression.parts]
    if isinstance(expression, AllOf):
        return " and ".join(parts) if parts else "true"
    return " or ".join(parts) if parts else "false"
