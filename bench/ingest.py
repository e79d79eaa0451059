"""Many memories over one stream: how fast beside the store's own bulk insert, and in how much memory.

python bench/ingest.py [--stores embedded,chroma] [--memories 100000] [--quick] [--json FILE]

SEMANTIC memories with vectors of their own (384 dimensions, so that no embedder is measured) go in by
`AsyncClient.ingest`; then they are read again by `scan`. Beside it the same rows go in by the vendor's
library, in batches of the same size; for the embedded store that is a SQLite table of a script's own
that is as safe (WAL, synchronous=FULL, a commit a batch). The gateway's memory is looked at on the way.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import command, measure, process, report, stores
from bench.direct import Direct, Row, direct_for

from memplane import AsyncClient, Put, Ref

MEMORIES: Final = 100_000
QUICK_MEMORIES: Final = 5_000
DIMENSION: Final = 384
BATCH: Final = 500
LOOKS: Final = 10
"""How often memory is looked at on the way."""
SPACE: Final = "bench"
WORDS: Final = ("tea", "refund", "invoice", "train", "garden", "meeting", "recipe", "deadline")


@dataclass(frozen=True, slots=True)
class Look:
    """The gateway's memory when so many memories were in."""

    memories: int
    mib: float


def rows(count: int) -> Iterator[Row]:
    """The memories, one after the other: nobody holds them all."""
    for number in range(count):
        seed = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=8).digest()
        vector = np.random.default_rng(int.from_bytes(seed, "big")).standard_normal(
            DIMENSION, np.float32
        )
        word = WORDS[number % len(WORDS)]
        yield Row(
            name=f"m-{number:07}",
            namespace=f"user-{number % 100}",
            text=f"Note {number}: asked about the {word} again, and what it has to do with {seed.hex()}",
            vector=vector,
            metadata={"topic": word, "source": "bench"},
        )


def put_of(row: Row) -> Put:
    """A row as the gateway takes it."""
    ref = Ref("semantic", (SPACE, row.namespace), row.name)
    return Put(ref, text=row.text, vector=row.vector, attributes=dict(row.metadata))


def settings_of(place: stores.Place) -> dict[str, Any]:
    """The gateway's configuration: clients send vectors."""
    route = {"store": "main", "embedder": "sent"}
    return {
        "stores": {"main": place.settings},
        "embedders": {"sent": {"provider": "none", "dimension": DIMENSION}},
        "routes": {"semantic": route},
    }


async def ingest(
    client: AsyncClient, gateway: process.Process, memories: int
) -> tuple[float, list[Look]]:
    """Items a second, and the gateway's memory on the way."""
    step = max(1, memories // LOOKS)
    looks = [Look(0, gateway.memory_mib())]
    with report.progress("ingest", memories) as advance:

        def seen(ack: Any) -> None:
            advance(len(ack.results))
            done = ack.start + len(ack.results)
            if done // step > looks[-1].memories // step:
                looks.append(Look(done, gateway.memory_mib()))

        begin = time.perf_counter()
        result = await client.ingest(map(put_of, rows(memories)), batch_items=BATCH, on_ack=seen)
        seconds = time.perf_counter() - begin
    if result.created != memories:
        raise process.BenchError(f"{result.created} of {memories} memories were created")
    return memories / seconds, looks


async def scan(client: AsyncClient, memories: int) -> float:
    """Items a second."""
    begin = time.perf_counter()
    found = 0
    async for _ in client.scope(SPACE).scan():
        found += 1
    if found != memories:
        raise process.BenchError(f"a scan found {found} of {memories} memories")
    return memories / (time.perf_counter() - begin)


async def insert_directly(direct: Direct, memories: int) -> float:
    """Items a second of the store's own bulk insert."""
    try:
        await direct.open(next(rows(1)))
        spent = 0.0
        batch: list[Row] = []
        with report.progress("the store's own", memories) as advance:
            for row in rows(memories):
                batch.append(row)
                if len(batch) == BATCH or row.name == f"m-{memories - 1:07}":
                    begin = time.perf_counter()
                    await direct.put(batch)
                    spent += time.perf_counter() - begin
                    advance(len(batch))
                    batch = []
        return memories / spent
    finally:
        await direct.close()


async def generate(memories: int) -> float:
    """Seconds that making the rows alone takes: no part of an ingest, and in its time."""
    begin = time.perf_counter()
    for row in rows(memories):
        put_of(row)
    return time.perf_counter() - begin


async def measure_store(
    place: stores.Place, gateway: process.Process, memories: int
) -> dict[str, Any]:
    """All figures of one store."""
    making = await generate(memories)
    async with AsyncClient(gateway.address) as client:
        await stores.serving(client)
        per_second, looks = await ingest(client, gateway, memories)
        scanned = await scan(client, memories)
    own = memories / (memories / per_second - making)
    direct = direct_for(place)
    directly = math.nan if direct is None else await insert_directly(direct, memories)
    return {
        "how": place.how,
        "memories": memories,
        "per_second": per_second,
        "per_second_without_making": own,
        "direct_per_second": directly,
        "ratio": own / directly,
        "scan_per_second": scanned,
        "cpu_seconds": gateway.cpu_seconds(),
        "memory": [[look.memories, round(look.mib, 1)] for look in looks],
    }


def show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the figures."""
    report.table(
        "ingest and scan, memories/s",
        ("store", "memories", "ingest", "the store's own", "ratio", "scan"),
        [
            (
                name,
                f"{one['memories']:,}",
                f"{one['per_second_without_making']:,.0f}",
                f"{one['direct_per_second']:,.0f}",
                f"{one['ratio']:.2f}",
                f"{one['scan_per_second']:,.0f}",
            )
            for name, one in figures.items()
        ],
    )
    for name, one in figures.items():
        report.say(
            f"{name}: the gateway's memory in MiB after so many: "
            + ", ".join(f"{memories:,}: {mib:.0f}" for memories, mib in one["memory"])
        )


def run(names: Sequence[str], memories: int, memplane: Path) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    figures: dict[str, Any] = {}
    for name in names:
        with (
            process.scratch() as directory,
            stores.place(name, directory) as place,
            process.gateway(directory, settings_of(place), memplane=memplane) as gateway,
        ):
            figures[name] = measure.run(measure_store(place, gateway, memories))
    show(figures)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command.parser(__doc__)
    options.add_argument("--stores", type=str, default="embedded,chroma", help="names with commas")
    options.add_argument("--memories", type=int, help="how many")

    def measured(given: argparse.Namespace) -> Mapping[str, Any]:
        memories = given.memories or (QUICK_MEMORIES if given.quick else MEMORIES)
        return run(stores.chosen(given.stores), memories, given.memplane)

    command.run("ingest", options, measured, arguments)


if __name__ == "__main__":
    main()
