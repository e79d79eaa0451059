"""Split a filter into what the store evaluates and what the gateway evaluates again.

The rows are the same whatever the split: a store is never asked for less than the filter, and
whatever it may answer too much is dropped by the residual.
"""

from __future__ import annotations

from dataclasses import dataclass

from memplane_adapters.contract import (
    All,
    Capabilities,
    Condition,
    Filter,
    Negation,
    Predicate,
    Pushdown,
    compile_filter,
)
from memplane_gateway.memory.model import FilterReport


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
    """Push down all that the store evaluates exactly, and those ANDed parts that it over-answers."""
    if tree is None:
        return Plan()
    if _reach(tree, capabilities) is Pushdown.EXACT:
        return Plan(pushed=tree)
    parts = tree.parts if isinstance(tree, All) else (tree,)
    pushable = tuple(p for p in parts if _reach(p, capabilities) is not Pushdown.NONE)
    pushed: Filter | None = None
    if pushable:
        pushed = pushable[0] if len(pushable) == 1 else All(pushable)
    return Plan(pushed=pushed, residual=compile_filter(tree))


def _reach(tree: Filter, capabilities: Capabilities) -> Pushdown:
    if isinstance(tree, Condition):
        return capabilities.pushdown(tree.op)
    if isinstance(tree, Negation):
        # The negation of a superset is a subset, and would lose rows.
        inner = _reach(tree.part, capabilities)
        return inner if inner is Pushdown.EXACT else Pushdown.NONE
    reaches = {_reach(part, capabilities) for part in tree.parts}
    if reaches <= {Pushdown.EXACT}:
        return Pushdown.EXACT
    if Pushdown.NONE in reaches:
        return Pushdown.NONE
    return Pushdown.SUPERSET
