"""One sweep as values: where it is, and what became of it. Times are microseconds since 1970 in UTC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from memplane_adapters.contract import Address, Cursor, Kind
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.lifecycle.retention import Cause, Pattern, Task


@dataclass(frozen=True, slots=True)
class Rule:
    """What makes memories go: that they have expired, or a part of a policy."""

    kind: Kind
    cause: Cause
    pattern: Pattern = ()

    @classmethod
    def of(cls, task: Task) -> Rule:
        """The rule that a task carries out."""
        return cls(task.kind, task.cause, task.pattern)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sweep stands: in which of its tasks, and where in that."""

    step: int = 0
    after: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a kind was left out; of the kind None, why the sweep could not go on at all."""

    kind: Kind | None
    code: Code
    reason: Reason
    message: str

    @classmethod
    def of(cls, kind: Kind | None, error: MemplaneError) -> Failure:
        """From what a caller would hear."""
        return cls(kind, error.code, error.reason, error.message)


@dataclass(slots=True)
class Run:
    """One sweep, or a slice of one."""

    start: int
    end: int | None = None
    """None while it runs."""
    counts: dict[Rule, int] = field(default_factory=dict)
    """Memories that were deleted, by why; also those rules by which none was."""
    failures: list[Failure] = field(default_factory=list)
    examples: list[tuple[Rule, Address]] = field(default_factory=list)
    """Some of those that would have been; only of a rehearsal."""

    def add(self, rule: Rule, count: int, examples: Sequence[Address] = ()) -> None:
        """Count what a slice did."""
        self.counts[rule] = self.counts.get(rule, 0) + count
        self.examples += [(rule, each) for each in examples]

    def encode(self) -> str:
        """As JSON, for the control store."""
        return json.dumps(
            {
                "start": self.start,
                "end": self.end,
                "counts": [
                    [rule.kind.value, rule.cause.value, rule.pattern, count]
                    for rule, count in self.counts.items()
                ],
                "failures": [
                    [each.kind and each.kind.value, each.code.name, each.reason.name, each.message]
                    for each in self.failures
                ],
            }
        )

    @classmethod
    def decode(cls, text: str) -> Run:
        """From JSON. Raises ValueError, KeyError or TypeError when it is none."""
        read = json.loads(text)
        counts = {
            Rule(Kind(kind), Cause(cause), tuple(pattern)): int(count)
            for kind, cause, pattern, count in read["counts"]
        }
        failures = [
            Failure(None if kind is None else Kind(kind), Code[code], Reason[reason], str(message))
            for kind, code, reason, message in read["failures"]
        ]
        return cls(read["start"], read["end"], counts, failures)


@dataclass(frozen=True, slots=True)
class Standing:
    """How the sweeper fares."""

    on: bool
    interval: int
    """0 where it is off."""
    running: Run | None
    """What this gateway does now."""
    last: Run | None
    """The last that ended, of any gateway that shares the control store."""
    next_time: int | None
    """When this gateway begins the next one."""
