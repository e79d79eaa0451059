"""Split a filter into what the store evaluates and what the gateway evaluates again.

The rows are the same whatever the split: a store is asked for the filter itself where it evaluates
all of it exactly, else for something wider that it can evaluate, and then the residual, which is the
whole filter, decides on every row that comes back.

To widen, negations are brought down to the conditions by De Morgan's laws. A condition that the store
cannot evaluate is replaced by a wider one, or left out of a conjunction; a disjunction with a part
that nothing wider stands for is left out as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from memplane_adapters.contract import (
    All,
    AnyOf,
    Capabilities,
    Condition,
    Filter,
    Negation,
    Op,
    Predicate,
    Pushdown,
    Value,
    compile_filter,
    conditions,
    is_rounded,
)
from memplane_gateway.memory.questions import FilterReport


@dataclass(frozen=True, slots=True)
class Plan:
    """`pushed` goes to the store; `residual`, when there, decides on every row that comes back."""

    pushed: Filter | None = None
    residual: Predicate | None = None

    def report(self, scanned: int, *, truncated: bool) -> FilterReport | None:
        """How the filter was evaluated; None when there was none."""
        if self.pushed is None and self.residual is None:
            return None
        return FilterReport(
            pushed=self.pushed is not None,
            residual=self.residual is not None,
            scanned=scanned,
            truncated=truncated,
        )


def plan(tree: Filter | None, capabilities: Capabilities) -> Plan:
    """What to ask a store of these capabilities for, and what to check again."""
    if tree is None:
        return Plan()
    if _exact(tree, capabilities):
        return Plan(pushed=tree)
    return Plan(pushed=_Widening(capabilities).of(tree), residual=compile_filter(tree))


def reach(condition: Condition, capabilities: Capabilities) -> Pushdown:
    """How well a store evaluates one condition: as it declares for the operator, at most.

    A store of scalars answers too much for an operand that is not one, and a store of floats for a
    bound that it rounds.
    """
    declared = capabilities.pushdown(condition.op)
    if declared is not Pushdown.EXACT:
        return declared
    if capabilities.scalar_operands and not _scalars(condition):
        return Pushdown.SUPERSET
    if capabilities.float_ranges and condition.op in _INCLUSIVE and is_rounded(condition.operand):
        return Pushdown.SUPERSET
    return Pushdown.EXACT


def _exact(tree: Filter, capabilities: Capabilities) -> bool:
    return all(reach(each, capabilities) is Pushdown.EXACT for each in conditions(tree))


class _Widening:
    """Finds the narrowest filter that a store can evaluate and that leaves nothing out.

    None stands for "everything".
    """

    def __init__(self, capabilities: Capabilities) -> None:
        self._capabilities = capabilities

    def of(self, tree: Filter) -> Filter | None:
        """What stands for a tree."""
        if _exact(tree, self._capabilities):
            return tree
        if isinstance(tree, Negation):
            return self._of_negated(tree.part)
        if isinstance(tree, Condition):
            return self._of_condition(tree)
        return self._joined(tree, [self.of(part) for part in tree.parts])

    def _of_negated(self, tree: Filter) -> Filter | None:
        """What stands for the opposite of a tree."""
        if _exact(tree, self._capabilities):
            return Negation(tree)
        if isinstance(tree, Negation):
            return self.of(tree.part)
        if isinstance(tree, Condition):
            opposite = _opposite(tree)
            return None if opposite is None else self._of_condition(opposite)
        parts = [self._of_negated(part) for part in tree.parts]
        return self._joined(AnyOf(()) if isinstance(tree, All) else All(()), parts)

    def _joined(self, join: All | AnyOf, parts: list[Filter | None]) -> Filter | None:
        kept = tuple(part for part in parts if part is not None)
        if isinstance(join, AnyOf):
            return None if len(kept) < len(parts) else AnyOf(kept)
        if len(kept) < 2:
            return kept[0] if kept else None
        return All(kept)

    def _of_condition(self, condition: Condition) -> Filter | None:
        if reach(condition, self._capabilities) is Pushdown.EXACT:
            return condition
        if condition.op in (Op.NE, Op.NOT_IN):
            opposite = Condition(condition.path, _OPPOSITES[condition.op], condition.operand)
            if reach(opposite, self._capabilities) is Pushdown.EXACT:
                return Negation(opposite)
        if self._capabilities.pushdown(condition.op) is not Pushdown.NONE:
            if not self._capabilities.scalar_operands or _scalars(condition):
                op = condition.op
                if self._capabilities.float_ranges and op in _INCLUSIVE:
                    op = _INCLUSIVE[op]
                return Condition(condition.path, op, condition.operand)
            if condition.op is Op.CONTAINS_ALL and (some := _scalars_of(condition.operand)):
                return Condition(condition.path, Op.CONTAINS_ALL, some)
        there = Condition(condition.path, Op.EXISTS, operand=True)
        if _matches_missing(condition) or reach(there, self._capabilities) is Pushdown.NONE:
            return None
        return there


_INCLUSIVE = {Op.GT: Op.GTE, Op.GTE: Op.GTE, Op.LT: Op.LTE, Op.LTE: Op.LTE}
"""What a range becomes when its bound is rounded: what equals the rounded bound may match."""

_OPPOSITES = {Op.EQ: Op.NE, Op.NE: Op.EQ, Op.IN: Op.NOT_IN, Op.NOT_IN: Op.IN}


def _opposite(condition: Condition) -> Condition | None:
    """The condition that holds when this one does not, where one operator says that."""
    path, op, operand = condition.path, condition.op, condition.operand
    if op in _OPPOSITES:
        return Condition(path, _OPPOSITES[op], operand)
    if op in (Op.EXISTS, Op.IS_NULL):
        return Condition(path, op, operand is False)
    return None


def _matches_missing(condition: Condition) -> bool:
    return compile_filter(condition)({})


def _scalars(condition: Condition) -> bool:
    """Whether the operand, or each of its items where the operator takes a list, is a scalar."""
    operand = condition.operand
    if condition.op in (Op.IN, Op.NOT_IN, Op.CONTAINS_ANY, Op.CONTAINS_ALL):
        assert isinstance(operand, list)
        return len(_scalars_of(operand)) == len(operand)
    return not isinstance(operand, list | dict)


def _scalars_of(operand: Value) -> list[Value]:
    assert isinstance(operand, list)
    return [item for item in operand if not isinstance(item, list | dict)]
