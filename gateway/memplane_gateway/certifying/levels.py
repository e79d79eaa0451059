"""What a run entitles a store to. docs/certification/README.md says it in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from memplane_gateway.certifying.findings import FAILED, PASSED, SKIPPED, Case, Findings

VECTORS: Final = "vectors"
KEY_VALUES: Final = "key-values"
OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    VECTORS: ("keyword", "exact_search", "vectorless", "read_your_writes", "exact_count"),
    KEY_VALUES: ("atomic", "read_your_writes", "exact_count"),
}
"""What a client misses where a store lacks it: the gateway refuses it, or says that it is not so."""
MADE_UP_FOR: Final = ("conditional_write", "ordered_scan", "expiry")
"""What the gateway does itself where a store cannot: its price differs, and no answer."""


class Level(StrEnum):
    """How far a store may be relied on."""

    NONE = "none"
    BASE = "BASE"
    FULL = "FULL"


@dataclass(frozen=True, slots=True)
class Proof:
    """One capability of one promise."""

    promise: str
    name: str
    declared: str
    """What the store declares, for people; empty for no."""
    by: tuple[str, ...] = ()
    """The functions of the cases that need it and passed, without repetition."""
    cases: int = 0
    """How many cases that is, with all their parameters."""
    against: tuple[str, ...] = ()
    """The cases that need it and failed."""

    @property
    def proven(self) -> bool:
        return bool(self.declared and self.by and not self.against)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The level, and what it rests on."""

    level: Level
    but_for: tuple[str, ...]
    """Optional capabilities that the store declares to lack."""
    unproven: tuple[str, ...]
    """Optional capabilities that the store declares and the run did not show."""
    proofs: tuple[Proof, ...]
    why: tuple[str, ...]
    """What stands in the way of a higher level, in sentences."""

    def __str__(self) -> str:
        if self.level is Level.FULL and self.but_for:
            return f"FULL but for: {', '.join(self.but_for)}"
        return str(self.level)


def judge(findings: Findings, *, partial: bool) -> Verdict:
    """The level that a run entitles to; a partial one entitles to none."""
    proofs = tuple(
        _proof(findings, promise, name)
        for promise in findings.declared
        for name in (*OPTIONAL.get(promise, ()), *MADE_UP_FOR)
    )
    optional = [each for each in proofs if each.name in OPTIONAL[each.promise]]
    but_for = _names([each for each in optional if not each.declared], optional)
    unproven = _names([each for each in optional if each.declared and not each.proven], optional)
    blocking = _blocking(findings, partial=partial)
    above = [f"declared and not shown: {name}" for name in unproven]
    if blocking:
        level = Level.NONE
    else:
        level = Level.BASE if unproven or findings.of(FAILED) else Level.FULL
    return Verdict(level, but_for, unproven, proofs, (*blocking, *above))


def _blocking(findings: Findings, *, partial: bool) -> list[str]:
    """What forbids any level."""
    found: list[str] = []
    if findings.trouble:
        found.append(findings.trouble)
    elif not findings.ended or len(findings.cases) < findings.expected:
        found.append("the run did not come to its end")
    elif not findings.expected:
        found.append("no case was run")
    elif not findings.declared:
        found.append("the store keeps nothing of what was to be certified")
    elif not findings.declared.get(VECTORS, {}).get("vector", True):
        found.append("a store of vectors that finds nothing by one")
    if partial:
        found.append("the run was partial, by options")
    mandatory = [case for case in findings.of(FAILED) if not _about_optional(case)]
    if mandatory:
        found.append(f"mandatory cases failed: {len(mandatory)}")
    bare = [case for case in findings.of(SKIPPED) if case.why is None]
    if bare:
        reasons = ", ".join(sorted({case.reason for case in bare}))
        found.append(f"cases skipped for no declared reason: {len(bare)} ({reasons})")
    return found


def _about_optional(case: Case) -> bool:
    return any(name in OPTIONAL.get(promise, ()) for name, promise in case.needs)


def _proof(findings: Findings, promise: str, name: str) -> Proof:
    about = [case for case in findings.cases if (name, promise) in case.needs]
    passed = [case for case in about if case.outcome == PASSED]
    failed = tuple(case.id for case in about if case.outcome == FAILED)
    by = tuple(dict.fromkeys(case.function for case in passed))
    declared = _declared(findings.declared[promise].get(name))
    return Proof(promise, name, declared, by, len(passed), failed)


def _declared(value: Any) -> str:
    if value in (None, False, "", "none"):
        return ""
    return "yes" if value is True else str(value)


def _names(some: list[Proof], every: list[Proof]) -> tuple[str, ...]:
    """Names of capabilities; with the promise where the store has two that differ in it."""
    missed = {(each.name, each.promise) for each in some}
    names: list[str] = []
    for each in some:
        promises = [other.promise for other in every if other.name == each.name]
        whole = all((each.name, promise) in missed for promise in promises)
        names.append(each.name if whole else f"{each.name} of {each.promise}")
    return tuple(dict.fromkeys(names))
