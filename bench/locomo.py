"""How well, and how fast, a gateway finds what was said, and that every store gives one answer.

python bench/locomo.py --data DIR [--stores embedded,chroma,qdrant] [--embedder hash]
    [--conversations N] [--recall-only] [--json FILE]

Conversations like LoCoMo's are written through a gateway into each store, and the same questions are
asked. The embedded store, which is exact, says what the others owe; where one gives less, this ends
with 1. A gateway of its own is started for each store; all goes through gRPC and the Python client.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from grpc import aio

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import agreement, cases, material, measure, process, rates, recall, report
from bench.cases import LABEL
from bench.conversations import Conversation, read_directory
from bench.direct import Direct, direct_for
from bench.material import Material
from bench.stores import ALL, EMBEDDED, Place, chosen, place, serving

from memplane import AsyncClient, Kind, MemplaneError, Put, Ref
from memplane_gateway.cli.formats.locomo import put_of

BATCH: Final = 500
FEWER: Final = 2
"""Conversations when other stores than the embedded one are measured, which takes longer."""

EMBEDDERS: Final[Mapping[str, Mapping[str, Any]]] = {"hash": {"provider": "hash"}}


@dataclass(frozen=True, slots=True)
class Setup:
    """What all stores have in common."""

    conversations: Sequence[Conversation]
    embedder: Mapping[str, Any]
    effort: rates.Effort = rates.FULL
    memplane: Path = process.MEMPLANE
    recall_only: bool = False
    """Neither compare answers nor measure rates."""


def settings_of(place: Place, embedder: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a gateway on a store. PROCEDURAL stays embedded."""
    searched = {"store": place.adapter, "embedder": "bench"}
    return {
        "routes": {
            "semantic": searched,
            "episodic": searched,
            "procedural": {"store": EMBEDDED},
        },
        "stores": {EMBEDDED: {"adapter": EMBEDDED}, place.adapter: place.settings},
        "embedders": {"bench": embedder},
        "log": {"level": "warning"},
    }


def puts_of(conversation: Conversation) -> list[Put]:
    """All memories of a conversation, in a namespace of its own."""
    namespace = (LABEL, conversation.name)
    turns = [put_of(turn, namespace) for turn in conversation.turns]
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


async def measure_store(
    place: Place, gateway: process.Process, setup: Setup, owed: Material | None
) -> tuple[dict[str, Any], Material | None]:
    """All figures of one store; and what was gathered from it, if `owed` was not given."""
    async with AsyncClient(gateway.address) as client:
        await serving(client)
        written = await ingest(client, setup.conversations)
        figures: dict[str, Any] = {"how": place.how, "ingest": written}
        figures["modes"] = await recall.measure_modes(client, place.adapter, setup.conversations)
        if setup.recall_only:
            return {**figures, "memory_mib": gateway.memory_mib()}, None
        if owed is None:
            owed = await material.gather(client, setup.conversations)
        else:
            figures["agreement"] = await agree(client, setup.conversations, owed)
        figures |= await measure_rates(place, client, setup, owed)
        return {**figures, "memory_mib": gateway.memory_mib()}, owed


async def agree(
    client: AsyncClient, conversations: Sequence[Conversation], owed: Material
) -> list[Mapping[str, Any]]:
    """Asks everything, and holds the answers against those of the exact store."""
    chosen = cases.cases(conversations)
    made = cases.agree(chosen, owed.replies, await cases.ask_all(client, chosen))
    can = (await client.capabilities())[Kind.EPISODIC]
    if can.approximate and can.exact_search:
        chosen = cases.cases(conversations, exact=True)
        # The first cases are the same, asked in another way.
        made += cases.agree(
            chosen, owed.replies[: len(chosen)], await cases.ask_all(client, chosen)
        )
    return [one.figures() for one in made]


async def measure_rates(
    place: Place, client: AsyncClient, setup: Setup, owed: Material
) -> dict[str, Any]:
    """Rates and latencies, beside the vendor's own library, or else a bare echo."""
    operations = material.through_gateway(client, owed)
    direct = None if place.adapter == EMBEDDED else direct_for(place)
    if direct is None:
        bare = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
        with process.Process(bare) as echo:
            async with aio.insecure_channel(echo.address) as channel:
                pairs = material.beside_echo(operations, channel, owed)
                return {"beside": "echo", "rates": await rates.measure_all(pairs, setup.effort)}
    try:
        await direct.open(owed.rows[0])
        written = await ingest_directly(direct, owed)
        written["overlap"] = await material.agree(direct, owed)
        pairs = material.beside_direct(operations, direct, owed)
        return {
            "beside": "direct",
            "direct": written,
            "rates": await rates.measure_all(pairs, setup.effort),
        }
    finally:
        await direct.close()


async def ingest_directly(direct: Direct, owed: Material) -> dict[str, Any]:
    """Writes the same texts with the vectors that they have, in batches of the same size."""
    begin = time.perf_counter()
    for start in range(0, len(owed.rows), BATCH):
        await direct.put(owed.rows[start : start + BATCH])
    seconds = time.perf_counter() - begin
    items = len(owed.rows)
    return {"items": items, "seconds": seconds, "items_per_second": items / seconds}


def show(store: str, figures: Mapping[str, Any]) -> None:
    """Prints the figures of a store."""
    written = figures["ingest"]
    report.say(
        f"{store}: {figures['how']}",
        f"{store}: {written['items']} memories written in {written['seconds']:.2f} s, "
        f"{written['items_per_second']:,.0f} items/s",
    )
    if direct := figures.get("direct"):
        report.say(
            f"{store}: {direct['items']} rows written by its own library in "
            f"{direct['seconds']:.2f} s, {direct['items_per_second']:,.0f} items/s; "
            f"it finds {direct['overlap']:.3f} of what it owes"
        )
    recall.show(store, figures["modes"], categories=store == EMBEDDED)
    if "agreement" in figures:
        agreement.show(f"{store}, held against {EMBEDDED}", figures["agreement"])
    if "rates" not in figures:
        return
    beside = "a bare echo" if figures["beside"] == "echo" else "its own library"
    rates.show(
        f"{store}, page {material.PAGE}, beside {beside}; medians of turns",
        figures["beside"],
        figures["rates"],
    )


def show_side_by_side(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the most important figures of all stores: of the gateway, and in brackets without."""
    recall.show_side_by_side({store: one["modes"] for store, one in figures.items()})
    if all("rates" in one for one in figures.values()):
        _show_rates(figures)


def _show_rates(figures: Mapping[str, Mapping[str, Any]]) -> None:
    cells: list[tuple[str, ...]] = []
    for store, one in figures.items():
        direct = one.get("direct")
        beside = f" ({direct['items_per_second']:,.0f})" if direct else ""
        cells.append(
            (
                store,
                f"{one['ingest']['items_per_second']:,.0f}{beside}",
                *(rates.cell(row) for row in one["rates"]),
                _verdict(one),
            )
        )
    first = next(iter(figures.values()))
    report.table(
        "side by side: p50/p99 ms of the gateway (of the vendor's library; for embedded an echo)",
        (
            "store",
            "items/s",
            *(f"{row['operation']}, {row['concurrency']} at once" for row in first["rates"]),
            "same answers",
        ),
        cells,
    )


def _verdict(figures: Mapping[str, Any]) -> str:
    if "agreement" not in figures:
        return "the reference"
    return "yes" if all(case["holds"] for case in figures["agreement"]) else "NO"


def disagreeing(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The stores that gave other answers than they owe."""
    return [store for store, one in figures.items() if _verdict(one) == "NO"]


def run(stores: Sequence[str], setup: Setup) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    said = said_of(setup.conversations)
    report.say(
        f"{said['conversations']} conversations, {said['turns']} turns, "
        f"{said['observations']} observations; {said['questions_with_evidence']} of "
        f"{said['questions']} questions name evidence that is there"
    )
    for name, odd in said["odd_evidence"].items():
        report.say(f"  {name}: odd evidence {odd}")
    figures: dict[str, Any] = {}
    owed: Material | None = None
    for store in stores:
        with (
            process.scratch() as directory,
            place(store, directory) as where,
            process.gateway(
                directory, settings_of(where, setup.embedder), memplane=setup.memplane
            ) as gateway,
        ):
            try:
                figures[store], owed = measure.run(measure_store(where, gateway, setup, owed))
            except* MemplaneError as errors:
                raise process.BenchError(
                    f"{store}: {measure.first_of(errors)}\n{gateway.said()}"
                ) from errors
        show(store, figures[store])
    if len(figures) > 1:
        show_side_by_side(figures)
    return {"data": said, "embedder": dict(setup.embedder), "stores": figures}


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


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="directory of conversations")
    parser.add_argument("--stores", type=chosen, default=EMBEDDED, help=f'with commas, or "{ALL}"')
    parser.add_argument("--embedder", type=embedder_of, default="hash", help="a name or YAML")
    parser.add_argument(
        "--conversations",
        type=int,
        help=f"how many; all, but {FEWER} where other stores than {EMBEDDED} are measured",
    )
    parser.add_argument("--quick", action="store_true", help="fewer calls and repeats")
    parser.add_argument(
        "--recall-only", action="store_true", help="neither compare answers nor measure rates"
    )
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--memplane", type=Path, default=process.MEMPLANE, help="the program")
    given = parser.parse_args(arguments)
    stores = [EMBEDDED, *(name for name in given.stores if name != EMBEDDED)]
    try:
        conversations = read_directory(given.data)
        number = given.conversations or (FEWER if len(stores) > 1 else len(conversations))
        if number < len(conversations):
            report.say(f"the first {number} of {len(conversations)} conversations")
        setup = Setup(
            conversations[:number],
            given.embedder,
            rates.QUICK if given.quick else rates.FULL,
            given.memplane,
            recall_only=given.recall_only,
        )
        figures = run(stores, setup)
    except (ValueError, process.BenchError) as error:
        sys.exit(f"locomo: {error}")
    report.write_json(given.json, {"locomo": figures})
    if differ := disagreeing(figures["stores"]):
        sys.exit(f"locomo: other answers than {EMBEDDED} gives: {', '.join(differ)}")


if __name__ == "__main__":
    main()
