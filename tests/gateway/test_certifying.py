"""What a run of the suite entitles a store to, and what is written of it."""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from memplane_adapters import conformance
from memplane_adapters.conformance.notes import Notes, begin, compared, explained
from memplane_adapters.contract import Adapter, Backend, Nature, StoreError, StoreReason
from memplane_gateway.certifying import (
    Apart,
    Case,
    Certificate,
    Findings,
    Level,
    Subject,
    document,
    judge,
    markdown,
    table_row,
)

SUITE = Path(conformance.__path__[0])
DECLARED: dict[str, Any] = {
    "keyword": True,
    "exact_search": True,
    "vectorless": False,
    "read_your_writes": True,
    "exact_count": True,
    "conditional_write": "native",
    "ordered_scan": True,
    "expiry": False,
    "filters": {"eq": "exact"},
    "durability": ["process"],
    "isolation": "token",
    "max_item_bytes": 1024,
}
PROOFS = {name: f"test_{name}" for name, able in DECLARED.items() if able is True}


def findings(*extra: dict[str, Any], without: str = "", ended: bool = True) -> Findings:
    """A run in which each declared capability was shown by a case, but for one; and other cases."""
    cases = [done(name, needs=[capability]) for capability, name in PROOFS.items()]
    cases = [case for case in cases if case["id"] != f"stores/f.py::test_{without}[a]"]
    cases += extra
    made = Findings()
    made.note(
        {
            "event": "begin",
            "cases": len(cases) + 1,
            "declared": {"vectors": DECLARED},
            "suite": "0a1b2c3d",
        }
    )
    for case in (done("test_mandatory"), *cases):
        made.note({"event": "case", "id": case["id"]})
        made.note(case)
    if ended:
        made.note({"event": "end", "status": 0})
    return made


def done(name: str, outcome: str = "passed", **facts: Any) -> dict[str, Any]:
    needs = [[need, "vectors"] for need in facts.pop("needs", [])]
    return {
        "event": "done",
        "id": f"stores/f.py::{name}[a]",
        "outcome": outcome,
        "reason": "",
        "why": None,
        "needs": needs,
        "deviation": 2e-7,
        "compared": 3,
        **facts,
    }


def test_all_that_is_declared_was_shown() -> None:
    verdict = judge(findings(), partial=False)
    assert verdict.level is Level.FULL
    assert str(verdict) == "FULL but for: vectorless"
    assert verdict.why == ()


def test_what_is_declared_and_was_not_shown_is_not_full() -> None:
    verdict = judge(findings(without="keyword"), partial=False)
    assert verdict.level is Level.BASE
    assert verdict.unproven == ("keyword",)


def test_a_failure_about_an_optional_capability_is_not_full() -> None:
    broken = done("test_words", "failed", needs=["keyword"])
    verdict = judge(findings(broken), partial=False)
    assert verdict.level is Level.BASE
    assert verdict.why == ("declared and not shown: keyword",)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (findings(done("test_rows", "failed")), "mandatory cases failed: 1"),
        (findings(done("test_rows", "failed", needs=["vector"])), "mandatory cases failed: 1"),
        (findings(ended=False), "the run did not come to its end"),
        (Findings(), "the run did not come to its end"),
        (
            Findings(expected=1, cases=[Case("f.py::test_x", "passed")], ended=True),
            "the store keeps nothing of what was to be certified",
        ),
        (
            findings(done("test_rows", "skipped", reason="not today")),
            "cases skipped for no declared reason: 1 (not today)",
        ),
    ],
    ids=["mandatory", "no-optional", "broken-off", "nothing", "keeps-nothing", "skipped"],
)
def test_what_forbids_any_level(run: Findings, why: str) -> None:
    verdict = judge(run, partial=False)
    assert verdict.level is Level.NONE
    assert verdict.why[0] == why


def test_a_store_of_vectors_finds_by_vector() -> None:
    """The cases that would show it are skipped, since it says that it does not."""
    run = findings()
    run.declared = {"vectors": {**DECLARED, "vector": False}}
    verdict = judge(run, partial=False)
    assert verdict.level is Level.NONE
    assert verdict.why == ("a store of vectors that finds nothing by one",)


def test_a_skip_for_a_declared_reason_forbids_nothing() -> None:
    skip = done("test_bare", "skipped", why=["declared absent", "vectorless", "vectors"])
    assert judge(findings(skip), partial=False).level is Level.FULL


def test_a_partial_run_gives_no_level() -> None:
    assert judge(findings(), partial=True).level is Level.NONE


def test_a_capability_that_one_promise_lacks_is_named_with_it() -> None:
    run = findings()
    run.declared = {"vectors": DECLARED, "key-values": {**DECLARED, "exact_count": False}}
    assert "exact_count of key-values" in judge(run, partial=False).but_for
    assert "vectorless" in judge(run, partial=False).but_for


def certificate(run: Findings) -> Certificate:
    subject = Subject("qdrant", Nature.EMULATOR, "sdk 1.2", "Thing 3.4", "http://host:1")
    verdict = judge(run, partial=False)
    return Certificate("mine", subject, run, verdict, "0.1.0", date(2026, 1, 2))


def test_a_report_for_all_has_no_address() -> None:
    made = certificate(findings(done("test_words|<b>", "failed", reason="a|b", needs=["keyword"])))
    assert "http://host:1" in markdown(made)
    published = markdown(made, address=False)
    assert "host" not in published
    for words in ("**BASE**", "emulator", "Thing 3.4", "sdk 1.2", "at most 1e-6", "a\\|b"):
        assert words in published, words
    assert "| `max_item_bytes` | 1,024 |" in published
    row = table_row(made, "mine.md")
    assert row.startswith(
        "| [mine](mine.md) | BASE | vectors | emulator | Thing 3.4 | 6 of 7 | at most 1e-6"
    )


def test_the_document_says_all_with_stable_names() -> None:
    shown = document(certificate(findings()))
    assert (shown["level"], shown["but_for"]) == ("FULL", ["vectorless"])
    keyword = shown["capabilities"][0]
    assert keyword["name"] == "keyword"
    assert keyword["proven"]
    assert keyword["by"] == ["test_keyword"]
    assert shown["scores"] == {"compared": 18, "largest_deviation": 2e-7}


def test_every_skip_of_the_suite_is_explained() -> None:
    """One that is not would keep every store that meets it from any level."""
    unexplained = [reason for reason in _skips() if explained(reason) is None]
    assert unexplained == ["the test file does not name an adapter"]  # never in a certification


def test_no_reason_of_ones_own_is_explained() -> None:
    for reason in ("", "broken", "the store has no time", "unconditional skip"):
        assert explained(reason) is None


def test_notes_keep_the_largest_deviation() -> None:
    made = begin()
    compared([0.5, -1.0], [0.5, -1.0 + 1e-9])
    compared([0.25], [0.75])
    assert (made.compared, made.deviation) == (3, 0.5)
    assert begin() == Notes()


def _skips() -> set[str]:
    """Every reason that stands in the suite, with some word in the place of what is filled in."""
    found: set[str] = set()
    for path in SUITE.glob("*/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = ast.unparse(node.func)
            if called == "pytest.skip":
                found.add(_text(node.args[0]))
            elif called == "needs":
                found.add(f"the store has no {_text(node.args[1])}")
    # Where all of the reason is filled in, by callers who are among the others.
    return found - {"something", "the store has no something", "the store has no VECTOR"}


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        parts = [str(p.value) if isinstance(p, ast.Constant) else "VECTOR" for p in node.values]
        return "".join(parts)
    return "something"


@dataclass(frozen=True)
class Named:
    """Settings of a store that has nothing but names."""

    prefix: str = ""


def apart(directory: Path, remove: Callable[[Named, Path], Awaitable[None]]) -> Apart:
    """A place with three names in such a store."""
    adapter = Adapter(
        "named", Named, lambda _, __: Backend(), lambda _: {}, prefix="prefix", remove=remove
    )
    settings = {"stores": Named("cert-s"), "memories": Named("cert-m")}
    names = dict.fromkeys(("cert-s", "cert-m1", "cert-m2"))
    return Apart(adapter, settings, directory, "cert", names)


@pytest.mark.parametrize(("retryable", "asked"), [(False, 3), (True, 2)])
def test_what_cannot_be_removed_keeps_nothing_else(
    tmp_path: Path, retryable: bool, asked: int
) -> None:
    """Unless nobody is there to ask for the next."""
    seen: list[str] = []

    async def remove(settings: Named, _: Path) -> None:
        seen.append(settings.prefix)
        if len(seen) == 2:
            raise StoreError(StoreReason.UNAVAILABLE, "not this one", retryable=retryable)

    (left,) = apart(tmp_path / "made", remove).remove()
    assert left.endswith("(not this one)")
    assert seen == ["cert-s", "cert-m1", "cert-m2"][:asked]
