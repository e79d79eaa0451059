"""What the box can tell of a card: a few operators, and some of them only roughly."""

from __future__ import annotations

from collections.abc import Mapping

from memplane_adapters.contract import (
    All,
    AnyOf,
    Condition,
    Fields,
    Filter,
    Op,
    Predicate,
    Pushdown,
    StoreError,
    StoreReason,
    compile_filter,
)

PUSHDOWN: Mapping[Op, Pushdown] = {
    Op.EQ: Pushdown.EXACT,
    Op.EXISTS: Pushdown.EXACT,
    Op.GTE: Pushdown.SUPERSET,
    Op.LTE: Pushdown.SUPERSET,
}


def predicate(tree: Filter | None) -> Predicate:
    """What leaves out no card that matches. Raises UNSUPPORTED for what is not declared."""
    if tree is None:
        return lambda _: True
    if isinstance(tree, Condition):
        return _condition(tree)
    if isinstance(tree, All):
        every = [predicate(part) for part in tree.parts]
        return lambda fields: all(part(fields) for part in every)
    if isinstance(tree, AnyOf):
        some = [predicate(part) for part in tree.parts]
        return lambda fields: any(part(fields) for part in some)
    # What is roughly true is not roughly false: only exact parts can be turned round.
    inner = predicate(tree.part)
    if not _is_exact(tree.part):
        raise StoreError(StoreReason.UNSUPPORTED, "a negation of an inexact operator")
    return lambda fields: not inner(fields)


def _condition(condition: Condition) -> Predicate:
    reach = PUSHDOWN.get(condition.op, Pushdown.NONE)
    if reach is Pushdown.NONE:
        raise StoreError(StoreReason.UNSUPPORTED, f"the box cannot tell {condition.op.value}")
    return compile_filter(condition) if reach is Pushdown.EXACT else _roughly(condition)


def _roughly(condition: Condition) -> Predicate:
    """GTE and LTE on numbers, after rounding; whatever is no number matches."""
    bound = condition.operand
    if isinstance(bound, bool) or not isinstance(bound, int | float) or len(condition.path) > 1:
        return lambda _: True
    name, limit, least = condition.path[0], float(bound), condition.op is Op.GTE

    def matches(fields: Fields) -> bool:
        value = fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value is not None
        return float(value) >= limit if least else float(value) <= limit

    return matches


def _is_exact(tree: Filter) -> bool:
    if isinstance(tree, Condition):
        return PUSHDOWN.get(tree.op) is Pushdown.EXACT
    if isinstance(tree, All | AnyOf):
        return all(map(_is_exact, tree.parts))
    return _is_exact(tree.part)
