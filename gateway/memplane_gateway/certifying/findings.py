"""What a run of the suite has shown, gathered from what it says while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the suite."""

    id: str
    """For example "stores/test_vectors.py::test_x[points]"."""
    outcome: str
    reason: str = ""
    """Why it failed or was skipped."""
    why: tuple[str, str, str] | None = None
    """For a skip: what explains it, and the capability and the promise that it is about, each "" for
    none. None for one that nothing explains."""
    needs: frozenset[tuple[str, str]] = frozenset()
    """The capabilities without which there was nothing to ask, each with its promise."""

    @property
    def function(self) -> str:
        """Its name without file and parameters."""
        return self.id.rpartition("::")[2].partition("[")[0]


@dataclass
class Findings:
    """All that is known of a run, whole or not."""

    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Capabilities by promise: "vectors", "key-values"."""
    suite: str = ""
    """A digest of the suite."""
    expected: int = 0
    cases: list[Case] = field(default_factory=list)
    deviation: float = 0.0
    """The largest difference between a score and the cosine in float64."""
    compared: int = 0
    under_way: str = ""
    ended: bool = False
    trouble: str = ""
    """Why the run itself came to no end; empty if it did."""

    def note(self, event: Mapping[str, Any]) -> None:
        """Take in one event of the run."""
        if event["event"] == "begin":
            self.declared, self.suite = event["declared"], event["suite"]
            self.expected = event["cases"]
        elif event["event"] == "case":
            self.under_way = event["id"]
        elif event["event"] == "done":
            self._note_case(event)
        elif event["event"] == "end":
            self.ended = True

    def _note_case(self, event: Mapping[str, Any]) -> None:
        why = event["why"]
        self.cases.append(
            Case(
                id=event["id"],
                outcome=event["outcome"],
                reason=event["reason"],
                why=None if why is None else (why[0], why[1], why[2]),
                needs=frozenset((name, promise) for name, promise in event["needs"]),
            )
        )
        self.under_way = ""
        self.compared += event["compared"]
        self.deviation = max(self.deviation, event["deviation"])

    def of(self, outcome: str) -> list[Case]:
        """The cases with an outcome, in the order of the run."""
        return [case for case in self.cases if case.outcome == outcome]
