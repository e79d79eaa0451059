"""A certification as a document: JSON with stable names, and Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from memplane_adapters.contract import Op
from memplane_gateway.certifying.findings import FAILED, PASSED, SKIPPED, Findings
from memplane_gateway.certifying.levels import MADE_UP_FOR, OPTIONAL, Level, Proof, Verdict
from memplane_gateway.certifying.subject import Subject

_OPERATORS: Final = frozenset(op.value for op in Op)
_NAMED: Final = 3
"""Functions that are named as a proof."""
_SHOWN_FAILURES: Final = 50
_LIMITS: Final = (
    "max_item_bytes",
    "max_batch_bytes",
    "max_batch_items",
    "max_metadata_bytes",
    "max_dimension",
)
_WAYS: Final = {
    "conditional_write": "the gateway coordinates writes by leases",
    "ordered_scan": "the gateway orders, by windows of time",
    "expiry": "the gateway's clock decides on every read, and its sweeps clean",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """All that is to be told of one certification."""

    store: str
    subject: Subject
    findings: Findings
    verdict: Verdict
    version: str
    """Of Memplane."""
    on: date
    left: tuple[str, ...] = ()
    """What could not be removed afterwards."""


def document(made: Certificate) -> dict[str, Any]:
    """The whole as JSON."""
    findings, verdict = made.findings, made.verdict
    return {
        "store": made.store,
        "level": verdict.level.value,
        "but_for": list(verdict.but_for),
        "why": list(verdict.why),
        "subject": asdict(made.subject),
        "memplane": made.version,
        "suite": findings.suite,
        "date": made.on.isoformat(),
        "cases": _numbers(findings),
        "failed": [{"case": case.id, "reason": case.reason} for case in findings.of(FAILED)],
        "skipped": [
            {"why": why, "capability": name, "promise": promise, "cases": number}
            for (why, name, promise), number in _skips(findings)
        ],
        "capabilities": [
            {
                "promise": proof.promise,
                "name": proof.name,
                "declared": proof.declared or None,
                "proven": proof.proven,
                "cases": proof.cases,
                "by": list(proof.by),
                "failed": list(proof.against),
            }
            for proof in verdict.proofs
        ],
        "scores": {"compared": findings.compared, "largest_deviation": findings.deviation},
        "limits": {promise: dict(_limits(findings, promise)) for promise in findings.declared},
        "left": list(made.left),
    }


def markdown(made: Certificate, *, address: bool = True) -> str:
    """The whole as Markdown; without addresses where it is to be published."""
    findings, verdict = made.findings, made.verdict
    numbers = _numbers(findings)
    parts = [
        f"# Certification: {made.store}",
        "**Not certified**" if verdict.level is Level.NONE else f"**{verdict}**",
        *([_bullets(verdict.why)] if verdict.why else []),
        _table(("", ""), _facts(made, address=address)),
        "## Cases",
        _table(
            ("run", "passed", "failed", "skipped"),
            [(numbers["run"], numbers["passed"], numbers["failed"], numbers["skipped"])],
        ),
        *_failures(findings),
        *_skipped(findings),
        "## Capabilities",
        _capabilities(verdict, OPTIONAL),
        "What the gateway makes up for where a store lacks it, so that no client notices:",
        _made_up_for(verdict),
        _filters(findings),
        "## Limits",
        _table(("promise", "limit", "value"), _limit_rows(findings)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table_row(made: Certificate, page: str) -> str:
    """A certification as a row of a table, which links to its page."""
    findings, subject = made.findings, made.subject
    numbers = _numbers(findings)
    cells = (
        f"[{made.store}]({page})",
        str(made.verdict) if made.verdict.level is not Level.NONE else "not certified",
        ", ".join(findings.declared),
        subject.nature.value,
        subject.server or subject.library or "-",
        f"{numbers['passed']:,} of {numbers['run'] - numbers['skipped']:,}",
        _rounded_up(findings.deviation) if findings.compared else "-",
        made.on.isoformat(),
    )
    return f"| {' | '.join(cells)} |\n"


def _numbers(findings: Findings) -> dict[str, int]:
    counts = Counter(case.outcome for case in findings.cases)
    return {
        "run": len(findings.cases),
        **{each: counts[each] for each in (PASSED, FAILED, SKIPPED)},
    }


def _facts(made: Certificate, *, address: bool) -> Iterator[tuple[str, object]]:
    subject, findings = made.subject, made.findings
    yield "adapter", subject.adapter
    yield "certified as", subject.nature.value
    yield "keeps", ", ".join(findings.declared)
    if subject.server:
        yield "server" if subject.address else "engine", subject.server
    if subject.library:
        yield "library", subject.library
    if address and subject.address:
        yield "address", subject.address
    yield "Memplane", f"{made.version}, suite {findings.suite or 'not reached'}"
    yield "date", made.on.isoformat()
    if findings.compared:
        far = f"{_rounded_up(findings.deviation)} from the cosine in float64"
        yield "largest deviation of a score", f"{far}, over {findings.compared:,} hits"


def _rounded_up(deviation: float) -> str:
    """To a power of ten above it: the digits below differ from run to run."""
    for power in range(-9, 1):
        if deviation <= 10.0**power:
            return f"at most 1e{power}"
    return f"{deviation:.3f}"


def _failures(findings: Findings) -> Iterator[str]:
    failed = findings.of(FAILED)
    if not failed:
        return
    yield "### Failed"
    yield _bullets([f"`{case.id}`: {_plain(case.reason)}" for case in failed[:_SHOWN_FAILURES]])
    if len(failed) > _SHOWN_FAILURES:
        yield f"And {len(failed) - _SHOWN_FAILURES} more."


def _skips(findings: Findings) -> list[tuple[tuple[str, str, str], int]]:
    """Reason, capability and promise of skips, with the number of cases."""
    reasons = Counter(
        case.why if case.why is not None else ("nothing explains it", case.reason, "")
        for case in findings.of(SKIPPED)
    )
    return sorted(reasons.items())


def _skipped(findings: Findings) -> Iterator[str]:
    """A row a reason; filter operators stand together."""
    numbers: Counter[str] = Counter()
    about: dict[str, dict[str, None]] = {}
    for (why, name, promise), number in _skips(findings):
        numbers[why] += number
        if name:
            shown = "filter operators" if name in _OPERATORS else f"`{_plain(name)}`"
            both = len(findings.declared) > 1 and promise
            about.setdefault(why, {})[f"{shown} of {promise}" if both else shown] = None
    if numbers:
        yield "Why cases were skipped:"
        rows = [(why, ", ".join(about.get(why, ())), numbers[why]) for why in sorted(numbers)]
        yield _table(("reason", "about", "cases"), rows)


def _capabilities(verdict: Verdict, names: Any) -> str:
    rows = [
        (proof.promise, f"`{proof.name}`", *_shown(proof))
        for proof in verdict.proofs
        if proof.name in names.get(proof.promise, ())
    ]
    return _table(("promise", "capability", "declared", "proven", "by"), rows)


def _shown(proof: Proof) -> tuple[str, str, str]:
    if not proof.declared:
        return "no", "absent, as declared", ""
    shown = ", ".join(f"`{name}`" for name in proof.by[:_NAMED])
    more = len(proof.by) - _NAMED
    by = f"{_cases(proof.cases)}: {shown}{f' and {more} more' if more > 0 else ''}" if shown else ""
    if proof.against:
        return proof.declared, f"**no**: {_cases(len(proof.against))} failed", by
    return proof.declared, "yes" if proof.by else "**no**", by


def _made_up_for(verdict: Verdict) -> str:
    rows = [
        (proof.promise, f"`{proof.name}`", proof.declared or "no", _in_its_place(proof))
        for proof in verdict.proofs
        if proof.name in MADE_UP_FOR
    ]
    return _table(("promise", "capability", "declared", "how it is kept"), rows)


def _in_its_place(proof: Proof) -> str:
    if not proof.declared:
        return _WAYS[proof.name]
    return f"by the store, shown by {_cases(proof.cases)}" if proof.cases else "by the store"


def _cases(number: int) -> str:
    return f"{number} case{'' if number == 1 else 's'}"


def _filters(findings: Findings) -> str:
    """How filters are evaluated, in a sentence a promise."""
    said: list[str] = []
    for promise, declared in findings.declared.items():
        by_reach: dict[str, list[str]] = {}
        for op, reach in sorted(declared["filters"].items()):
            by_reach.setdefault(reach, []).append(op)
        ways = "; ".join(f"{reach}: {', '.join(ops)}" for reach, ops in sorted(by_reach.items()))
        said.append(f"Filters pushed down, {promise}: {ways or 'none'}.")
    if not said:
        return ""
    return "\n".join([*said, "All others, and all that is not exact, the gateway checks again."])


def _limits(findings: Findings, promise: str) -> Iterator[tuple[str, int]]:
    for name in _LIMITS:
        if findings.declared[promise].get(name):
            yield name, findings.declared[promise][name]


def _limit_rows(findings: Findings) -> Iterator[tuple[str, str, str]]:
    for promise in findings.declared:
        limits = list(_limits(findings, promise))
        for name, value in limits:
            yield promise, f"`{name}`", f"{value:,}"
        if not limits:
            yield promise, "none", ""
        yield promise, "durability that it can reach", ", ".join(_levels(findings, promise))
        yield promise, "isolation of tenants", findings.declared[promise]["isolation"]


def _levels(findings: Findings, promise: str) -> Sequence[str]:
    return [str(level) for level in findings.declared[promise]["durability"]]


def _table(columns: Sequence[str], rows: Any) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _plain(text: str) -> str:
    """Text that steers no Markdown."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
