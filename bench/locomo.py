"""How well, and how fast, a gateway finds what was said: recall on conversations like LoCoMo's.

python bench/locomo.py --data DIR [--stores embedded] [--embedder hash] [--json FILE]

A gateway of its own is started for each store; all goes through gRPC and the Python client.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import measure, process, report
from bench.conversations import CATEGORIES, Conversation, Question, read_directory

from memplane import AsyncClient, Episode, EpisodeType, Kind, MemplaneError, Mode, Put, Ref

MODES: Final = (Mode.AUTO, Mode.KEYWORD, Mode.VECTOR)
DEPTHS: Final = (5, 10, 20)
LABEL: Final = "locomo"
BATCH: Final = 500
WARM_UP: Final = 20
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class StoreSetup:
    """How the configuration names a store, and whether it keeps key-values too."""

    settings: Mapping[str, Any]
    key_value: bool = False


STORES: Final[Mapping[str, StoreSetup]] = {
    "embedded": StoreSetup({"adapter": "embedded"}, key_value=True),
}
"""The stores that can be measured; one that needs a server expects it at its usual address."""

EMBEDDERS: Final[Mapping[str, Mapping[str, Any]]] = {"hash": {"provider": "hash"}}


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


def settings_of(store: str, embedder: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a gateway on a store. PROCEDURAL stays embedded where it must."""
    setup = STORES[store]
    searched = {"store": store, "embedder": "bench"}
    return {
        "routes": {
            "semantic": searched,
            "episodic": searched,
            "procedural": {"store": store if setup.key_value else "embedded"},
        },
        "stores": {"embedded": {"adapter": "embedded"}, store: setup.settings},
        "embedders": {"bench": embedder},
        "log": {"level": "warning"},
    }


def puts_of(conversation: Conversation) -> list[Put]:
    """All memories of a conversation, in a namespace of its own."""
    namespace = (LABEL, conversation.name)
    turns = [
        Put(
            Ref(Kind.EPISODIC, namespace, turn.dia_id),
            text=f"{turn.speaker}: {turn.text}",
            episode=Episode(
                type=EpisodeType.CONVERSATION,
                event_time=turn.time,
                session_id=turn.session,
                actor=turn.speaker,
            ),
        )
        for turn in conversation.turns
    ]
    observations = [
        Put(
            Ref(Kind.SEMANTIC, namespace, f"{seen.session}/{seen.speaker}/{seen.number}"),
            text=seen.text,
            attributes={"speaker": seen.speaker, "evidence": list(seen.evidence)},
        )
        for seen in conversation.observations
    ]
    speakers = [
        Put(Ref(Kind.PROCEDURAL, namespace, name), value=dict(counts))
        for name, counts in conversation.speakers.items()
    ]
    return turns + observations + speakers


async def ingest(client: AsyncClient, conversations: Sequence[Conversation]) -> dict[str, float]:
    """Writes everything, batch after batch."""
    batches = [
        puts[start : start + BATCH]
        for puts in map(puts_of, conversations)
        for start in range(0, len(puts), BATCH)
    ]
    items = sum(map(len, batches))
    begin = time.perf_counter()
    with report.progress("writing memories", items) as advance:
        for batch in batches:
            (await client.put_many(batch)).raise_for_error()
            advance(len(batch))
    seconds = time.perf_counter() - begin
    return {"items": items, "seconds": seconds, "items_per_second": items / seconds}


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


async def measure_store(
    store: str, embedder: Mapping[str, Any], conversations: Sequence[Conversation], memplane: Path
) -> dict[str, Any]:
    """All figures of one store."""
    with (
        process.scratch() as directory,
        process.gateway(directory, settings_of(store, embedder), memplane=memplane) as gateway,
    ):
        async with AsyncClient(gateway.address) as client:
            written = await ingest(client, conversations)
            modes: dict[str, Any] = {}
            for mode in MODES:
                try:
                    searched = await ask(client, conversations, mode)
                except MemplaneError as error:  # a store need not have every mode
                    report.say(f"{store}: {mode.value}: {error}")
                    modes[mode.value] = {"error": str(error)}
                    continue
                modes[mode.value] = {
                    "used": searched.used,
                    "recall": recall(searched.answers),
                    "search": asdict(searched.sample),
                }
        return {"ingest": written, "modes": modes, "memory_mib": gateway.memory_mib()}


def show(store: str, figures: Mapping[str, Any]) -> None:
    """Prints the figures of a store."""
    written = figures["ingest"]
    report.say(
        f"{store}: {written['items']} memories written in {written['seconds']:.2f} s, "
        f"{written['items_per_second']:,.0f} items/s"
    )
    modes = {name: one for name, one in figures["modes"].items() if "error" not in one}
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


def said_of(conversations: Sequence[Conversation]) -> dict[str, Any]:
    """What was read."""
    return {
        "conversations": len(conversations),
        "turns": sum(len(one.turns) for one in conversations),
        "observations": sum(len(one.observations) for one in conversations),
        "questions": sum(one.asked for one in conversations),
        "questions_with_evidence": sum(len(one.questions) for one in conversations),
        "odd_evidence": {one.name: list(one.odd) for one in conversations if one.odd},
    }


def embedder_of(text: str) -> dict[str, Any]:
    """An embedder from the command line: a name of the table, or the settings of one in YAML."""
    read = EMBEDDERS.get(text) or yaml.safe_load(text)
    if not isinstance(read, Mapping) or "provider" not in read:
        raise argparse.ArgumentTypeError(
            f"one of {', '.join(EMBEDDERS)}, or settings such as "
            '\'{provider: openai, base_url: "http://localhost:11434/v1", model: all-minilm, '
            "dimension: 384}'"
        )
    return dict(read)


def stores_of(text: str) -> list[str]:
    """Names of stores with commas between."""
    names = [name.strip() for name in text.split(",")]
    if unknown := sorted(set(names) - set(STORES)):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(STORES)}")
    return names


def run(
    data: Path,
    *,
    stores: Sequence[str] = ("embedded",),
    embedder: Mapping[str, Any] = EMBEDDERS["hash"],
    memplane: Path = process.MEMPLANE,
) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    conversations = read_directory(data)
    said = said_of(conversations)
    report.say(
        f"{said['conversations']} conversations, {said['turns']} turns, "
        f"{said['observations']} observations; {said['questions_with_evidence']} of "
        f"{said['questions']} questions name evidence that is there"
    )
    for name, odd in said["odd_evidence"].items():
        report.say(f"  {name}: odd evidence {odd}")
    figures: dict[str, Any] = {}
    for store in stores:
        figures[store] = measure.run(measure_store(store, embedder, conversations, memplane))
        show(store, figures[store])
    return {"data": said, "embedder": dict(embedder), "stores": figures}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="directory of conversations")
    parser.add_argument("--stores", type=stores_of, default=["embedded"], help="with commas")
    parser.add_argument("--embedder", type=embedder_of, default="hash", help="a name or YAML")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--memplane", type=Path, default=process.MEMPLANE, help="the program")
    given = parser.parse_args(arguments)
    try:
        figures = run(
            given.data, stores=given.stores, embedder=given.embedder, memplane=given.memplane
        )
    except (ValueError, process.BenchError) as error:
        sys.exit(f"locomo: {error}")
    report.write_json(given.json, {"locomo": figures})


if __name__ == "__main__":
    main()
