"""How well a gateway finds what was said: the share of questions whose evidence is among the hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench import measure, report
from bench.cases import LABEL
from bench.conversations import CATEGORIES, Conversation, Question

from memplane import AsyncClient, Kind, Mode, Unimplemented

MODES: Final = (Mode.AUTO, Mode.KEYWORD, Mode.VECTOR, Mode.HYBRID)
DEPTHS: Final = (5, 10, 20)
BESIDE: Final = 10
"""Of these, the one at which stores are held against each other."""
WARM_UP: Final = 20
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Answer:
    """Which turns a search found for a question, best first."""

    question: Question
    found: tuple[str, ...]

    def hit(self, depth: int) -> bool:
        """Whether one of the first is evidence."""
        return not self.question.evidence.isdisjoint(self.found[:depth])

    def share(self, depth: int) -> int:
        """How many of the pieces of evidence are among the first."""
        return len(self.question.evidence.intersection(self.found[:depth]))


@dataclass(frozen=True, slots=True)
class Searched:
    """All questions, asked in one mode."""

    mode: Mode
    used: str
    """What the gateway made of the mode."""
    answers: tuple[Answer, ...]
    sample: measure.Sample


async def ask(client: AsyncClient, conversations: Sequence[Conversation], mode: Mode) -> Searched:
    """Asks all questions, one after the other, each in its conversation's namespace."""
    asked = [
        (client.scope(LABEL, conversation.name), question)
        for conversation in conversations
        for question in conversation.questions
    ]
    answers: list[Answer] = []
    used: set[str] = set()
    with report.progress(f"asking, {mode.value}", len(asked)) as advance:

        async def call(number: int) -> None:
            scope, question = asked[number]
            found = await scope.search(
                question.text, kind=Kind.EPISODIC, mode=mode, limit=max(DEPTHS)
            )
            answers.append(Answer(question, tuple(hit.memory.key for hit in found)))
            used.add(found.mode.value)
            advance()

        for scope, question in asked[:WARM_UP]:
            await scope.search(question.text, kind=Kind.EPISODIC, mode=mode, limit=max(DEPTHS))
        sample = await measure.load(call, calls=len(asked), concurrency=1)
    return Searched(mode, "/".join(sorted(used)), tuple(answers), sample)


def recall(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    """Recall by category.

    `hit` is the share of questions with evidence among the first k, `evidence` the share of all
    pieces of evidence that are.
    """
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        category = answer.question.category
        groups.setdefault(CATEGORIES.get(category, str(category)), []).append(answer)
    ordered = {name: groups[name] for name in sorted(groups)} | {ALL: list(answers)}
    return {
        name: {
            "questions": len(group),
            "hit": {str(k): sum(one.hit(k) for one in group) / len(group) for k in DEPTHS},
            "evidence": {
                str(k): sum(one.share(k) for one in group)
                / sum(len(one.question.evidence) for one in group)
                for k in DEPTHS
            },
        }
        for name, group in ordered.items()
    }


async def measure_modes(
    client: AsyncClient, store: str, conversations: Sequence[Conversation]
) -> dict[str, Any]:
    """The figures of each mode that the store has; what AUTO was is not asked again."""
    modes: dict[str, Any] = {}
    for mode in MODES:
        if modes and modes[Mode.AUTO.value].get("used") == mode.value:
            modes[mode.value] = modes[Mode.AUTO.value]
            continue
        try:
            searched = await ask(client, conversations, mode)
        except Unimplemented as error:  # a store need not have every mode
            report.say(f"{store}: {mode.value}: {error}")
            modes[mode.value] = {"error": str(error)}
            continue
        modes[mode.value] = {
            "used": searched.used,
            "recall": recall(searched.answers),
            "search": asdict(searched.sample),
        }
    return modes


def show_side_by_side(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints by category what the modes of all stores find; the first store has all categories."""
    depth = str(BESIDE)
    categories = list(next(iter(figures.values()))[Mode.VECTOR.value]["recall"])
    report.table(
        f"side by side, recall@{depth}: share of questions with evidence among the first {depth}",
        ("mode", "store", *categories),
        [
            (
                mode.value,
                store,
                *(f"{modes[mode.value]['recall'][one]['hit'][depth]:.3f}" for one in categories),
            )
            for mode in MODES[1:]
            for store, modes in figures.items()
            if "error" not in modes[mode.value]
        ],
    )


def show(store: str, figures: Mapping[str, Any], *, categories: bool) -> None:
    """Prints the figures of a store; of all questions only, or by category too."""
    modes = {name: one for name, one in figures.items() if "error" not in one}
    for measure_name, title in (
        ("hit", "share of questions with evidence among the first k"),
        ("evidence", "share of all pieces of evidence among the first k"),
    ):
        report.table(
            f"{store}, recall@k: {title}",
            ("mode", "category", "questions", *(f"@{k}" for k in DEPTHS)),
            [
                (
                    name if one["used"] == name else f"{name} ({one['used']})",
                    category,
                    str(row["questions"]),
                    *(f"{row[measure_name][str(k)]:.3f}" for k in DEPTHS),
                )
                for name, one in modes.items()
                for category, row in one["recall"].items()
                if categories or category == ALL
            ],
        )
    report.table(
        f"{store}, one search after the other, through the Python client",
        ("mode", "p50 ms", "p99 ms", "searches/s"),
        [
            (
                name,
                f"{one['search']['p50_ms']:.2f}",
                f"{one['search']['p99_ms']:.2f}",
                f"{one['search']['per_second']:,.0f}",
            )
            for name, one in modes.items()
        ],
    )
