"""Filter messages to the domain's tree."""

from __future__ import annotations

from memplane.v1 import filter_pb2 as pb
from memplane_adapters.contract import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    All,
    AnyOf,
    Condition,
    Filter,
    Negation,
    Op,
    problem,
)
from memplane_gateway.limits import ATTRIBUTE_NAME_BYTES, PATH_NAMES
from memplane_gateway.memory.shelf import SYSTEM_FIELDS
from memplane_gateway.wire.values import read_value
from memplane_gateway.wire.violations import Violations

OPS: dict[int, Op] = {
    number: Op(name.removeprefix("OP_").lower())
    for name, number in pb.Op.items()
    if number != pb.OP_UNSPECIFIED
}
_TAKES_NOTHING = (Op.EXISTS, Op.IS_NULL)
_MAX_NODES = MAX_CONDITIONS * MAX_DEPTH
_NOTHING = Condition(("",), Op.EXISTS)


def read_filter(message: pb.Filter, path: str, violations: Violations) -> Filter | None:
    """The tree of a message; None beside a note when it breaks a rule."""
    before = len(violations.noted)
    violations.begin_memory()
    tree = _TreeReader(path, violations).read(message, path, 1)
    return None if len(violations.noted) > before else tree


class _TreeReader:
    """Reads a tree, and stops where it has too many conditions: what follows costs nothing."""

    def __init__(self, root: str, violations: Violations) -> None:
        self._root = root
        self._violations = violations
        self._conditions = 0
        self._nodes = 0
        self._stopped = False

    def read(self, message: pb.Filter, path: str, depth: int) -> Filter:
        """One node with all that is below it."""
        if self._stopped:
            return _NOTHING
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            return self._stop()
        node = message.WhichOneof("node")
        if depth > MAX_DEPTH:
            self._violations.add(path, f"the filter is more than {MAX_DEPTH} deep")
        elif node == "condition":
            self._conditions += 1
            if self._conditions > MAX_CONDITIONS:
                return self._stop()
            return _read_condition(message.condition, f"{path}.condition", self._violations)
        elif node == "negation":
            return Negation(self.read(message.negation, f"{path}.negation", depth + 1))
        elif node is None:
            self._violations.add(path, "is empty; give a condition, or leave the filter out")
        else:
            parts = (message.all if node == "all" else message.any).filters
            self._violations.count(parts, f"{path}.{node}", 1, MAX_CONDITIONS)
            make = All if node == "all" else AnyOf
            return make(
                tuple(
                    self.read(part, f"{path}.{node}[{index}]", depth + 1)
                    for index, part in enumerate(parts[:MAX_CONDITIONS])
                )
            )
        return _NOTHING

    def _stop(self) -> Filter:
        self._stopped = True
        self._violations.add(self._root, f"has more than {MAX_CONDITIONS} conditions")
        return _NOTHING


def _read_condition(message: pb.Condition, path: str, violations: Violations) -> Condition:
    names = tuple(message.path)
    violations.count(names, f"{path}.path", 1, PATH_NAMES)
    for index, name in enumerate(names[:PATH_NAMES]):
        violations.short(name, f"{path}.path[{index}]", ATTRIBUTE_NAME_BYTES)
    if names and names[0].startswith("@") and (len(names) > 1 or names[0] not in SYSTEM_FIELDS):
        violations.add(
            f"{path}.path", f"no such system field; there are {', '.join(SYSTEM_FIELDS)}"
        )
    op = OPS.get(message.op)
    if op is None:
        violations.add(f"{path}.op", "is missing or unknown")
        return _NOTHING
    if not message.HasField("operand"):
        if op not in _TAKES_NOTHING:
            violations.add(f"{path}.operand", f"{op.value} needs an operand")
        return Condition(names, op)
    before = len(violations.noted)
    operand = read_value(message.operand, f"{path}.operand", violations)
    condition = Condition(names, op, operand)
    wrong = problem(condition) if len(violations.noted) == before else None
    if wrong is not None:
        violations.add(f"{path}.operand", f"{op.value} {wrong}")
    return condition
