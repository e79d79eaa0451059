"""Whether two stores gave the same answers: pure comparison of hits with those of an exact store.

An exact store owes the same hits in the same order. Stores compute in float32, so neighbours whose
relevance differs by less than `TIE` may change places; how often is counted. An approximate store
owes `OVERLAP` of the first hits. Both owe the same score for the same memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bench import report

from memplane import Memory, SearchResult

TIE: Final = 2e-6
"""Relevances that are nearer than this may come in either order."""
SCORE_TOLERANCE: Final = 1e-3
OVERLAP: Final = 0.99
SHOWN: Final = 5
"""Differences that are kept to be shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """One hit, or one memory of a listing."""

    name: str
    """Which memory with which content."""
    relevance: float | None = None
    """None where the order is not by relevance; then nothing ties."""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a store answered."""

    rows: tuple[Row, ...]
    approximate: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """One reply against the expected one."""

    swaps: int
    """Rows that stand elsewhere than expected, among neighbours that tie."""
    overlap: float
    """The share of the expected rows that are there, whatever their order."""
    deviation: float
    """The largest difference of two scores of one memory."""
    problems: tuple[str, ...]
    """What an exact store must not answer."""


@dataclass
class Agreement:
    """All replies to one case."""

    case: str
    depth: int
    approximate: bool = False
    """Whether a reply said so."""
    asked: int = 0
    swaps: int = 0
    overlaps: list[float] = field(default_factory=list)
    deviation: float = 0.0
    different: int = 0
    """Replies that an exact store must not give."""
    examples: list[str] = field(default_factory=list)

    @property
    def overlap(self) -> float:
        """The mean share of expected rows; 1 when nothing was asked."""
        return sum(self.overlaps) / len(self.overlaps) if self.overlaps else 1.0

    @property
    def holds(self) -> bool:
        """Whether the store gave what it owes."""
        same = self.overlap >= OVERLAP if self.approximate else not self.different
        return self.asked > 0 and same and self.deviation <= SCORE_TOLERANCE

    def add(self, question: str, expected: Reply, found: Reply) -> None:
        """Compares one reply; the expected one may go deeper than `depth`."""
        one = compare(expected, found, self.depth)
        self.asked += 1
        self.approximate |= found.approximate
        self.swaps += one.swaps
        self.overlaps.append(one.overlap)
        self.deviation = max(self.deviation, one.deviation)
        if one.problems:
            self.different += 1
            if len(self.examples) < SHOWN:
                self.examples.append(f"{question!r}: {one.problems[0]}")

    def figures(self) -> Mapping[str, Any]:
        """As they are shown and written."""
        return {
            "case": self.case,
            "depth": self.depth,
            "approximate": self.approximate,
            "asked": self.asked,
            "different": self.different,
            "swaps": self.swaps,
            "overlap": self.overlap,
            "lowest_overlap": min(self.overlaps, default=1.0),
            "score_deviation": self.deviation,
            "holds": self.holds,
            "examples": self.examples,
        }


def name_of(memory: Memory) -> str:
    """Tells memories apart by ref and content; not by times that are the gateway's own."""
    event = "" if memory.episode is None else f"@{memory.episode.event_time}"
    return f"{memory.ref}{event}#{memory.content_hash}"


def reply_of(result: SearchResult) -> Reply:
    """The reply to a search."""
    by_time = all(hit.relevance == 0.0 and hit.score is None for hit in result)  # RECENT
    return Reply(
        tuple(
            Row(name_of(hit.memory), None if by_time else hit.relevance, hit.score)
            for hit in result
        ),
        result.approximate,
        result.truncated,
    )


def compare(expected: Reply, found: Reply, depth: int) -> Compared:
    """Holds the first rows of a reply against those of an exact store.

    Args:
        expected: The reply of the exact store. It should go deeper than `depth`, so that a tie at
            the border is known as one.
        found: The reply to judge.
        depth: How many rows were asked for; 0 means all.
    """
    owed = expected.rows[: depth or None]
    known = {row.name: row for row in expected.rows}
    names = [row.name for row in found.rows]
    problems: list[str] = []
    if found.truncated:
        problems.append("says that it left hits out")
    if len(set(names)) != len(names):
        problems.append("has a memory twice")
    if len(names) != len(owed):
        problems.append(f"has {len(names)} rows instead of {len(owed)}")
    swaps = 0
    for position, (mine, theirs) in enumerate(zip(owed, found.rows, strict=False)):
        if mine.name == theirs.name:
            continue
        place = known.get(theirs.name)
        if place is not None and _tie(mine, theirs) and _tie(mine, place):
            swaps += 1
        else:
            problems.append(f"at {position + 1} {_shown(theirs)} instead of {_shown(mine)}")
    there = set(names)
    good = sum(row.name in there for row in owed)
    if owed:  # in place of a row that is missing, one that ties with the last is as good
        spare = there.difference(row.name for row in owed)
        good += sum(_tie(known[name], owed[-1]) for name in spare if name in known)
    pairs = ((row, known[row.name]) for row in found.rows if row.name in known)
    return Compared(
        swaps=swaps,
        overlap=min(1.0, good / len(owed)) if owed else float(not names),
        deviation=max((_apart(one.score, other.score) for one, other in pairs), default=0.0),
        problems=tuple(problems),
    )


def _tie(one: Row, other: Row) -> bool:
    if one.relevance is None or other.relevance is None:
        return False
    return abs(one.relevance - other.relevance) < TIE


def _apart(one: float | None, other: float | None) -> float:
    """How far two scores are apart; infinitely if only one is there."""
    if one is None or other is None:
        return 0.0 if one is other else float("inf")
    return abs(one - other)


def _shown(row: Row) -> str:
    return row.name if row.relevance is None else f"{row.name} ({row.relevance:.7f})"


def show(title: str, figures: Sequence[Mapping[str, Any]]) -> None:
    """Prints how replies agree, and examples of those that do not."""
    report.table(
        title,
        (
            "case",
            "first",
            "asked",
            "store is",
            "different",
            "swapped rows",
            "overlap",
            "lowest",
            "score apart",
            "holds",
        ),
        [
            (
                one["case"],
                str(one["depth"] or "all"),
                str(one["asked"]),
                "approximate" if one["approximate"] else "exact",
                str(one["different"]),
                str(one["swaps"]),
                f"{one['overlap']:.4f}",
                f"{one['lowest_overlap']:.2f}",
                f"{one['score_deviation']:.1e}",
                "yes" if one["holds"] else "NO",
            )
            for one in figures
        ],
    )
    for one in figures:
        if one["different"]:
            report.say(*(f"  {one['case']}: {example}" for example in one["examples"]))
