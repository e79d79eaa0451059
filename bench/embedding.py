"""What batches across calls and the cache are worth: texts a second against an endpoint of 20 ms a call.

python bench/embedding.py [--quick] [--json FILE]

The embedder `openai` is called in this process, without a gateway, by callers with one text each:
as it is, then with batches, against an endpoint that works on all requests at once and one that takes
them one at a time, as a model on one processor does. The last row asks for texts that the cache has.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import command, measure, process, report
from bench.embedding_server import DIMENSION

from memplane_gateway.embedders import Embedder, OpenAISettings, create, serving

SERVER: Final = Path(__file__).with_name("embedding_server.py")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    callers: tuple[int, ...] = (1, 16, 64)
    calls: int = 20
    """A caller."""
    hits: int = 20_000
    repeats: int = 3


QUICK: Final = Effort(callers=(1, 16), calls=10, hits=2_000, repeats=1)


async def _measured(
    embedder: Embedder, name: str, callers: int, calls: int, repeats: int, *, texts: int = 0
) -> dict[str, Any]:
    """Calls with one text each: a new one, or one of so many."""

    async def call(number: int) -> None:
        await embedder.embed([f"memory {number % texts if texts else number}"])

    await measure.load(call, calls=texts or callers, concurrency=callers, first=10**9)
    if texts:
        await embedder.embed([f"memory {number}" for number in range(texts)])
    samples = [
        await measure.load(call, calls=calls, concurrency=callers, first=repeat * calls)
        for repeat in range(repeats)
    ]
    return {"what": name, "callers": callers} | asdict(measure.median_of(samples))


async def _rows(addresses: dict[str, str], effort: Effort) -> list[dict[str, Any]]:
    rows = []
    settings = OpenAISettings(model="bench", dimension=DIMENSION, cache_bytes=0)
    for kind, address in addresses.items():
        settings = settings.model_copy(update={"base_url": f"http://{address}/v1"})
        for callers in effort.callers:
            for name, embedder in (
                ("each call alone", create(settings)),
                ("batches", serving(settings)),
            ):
                rows.append(
                    await _measured(
                        embedder, f"{kind}, {name}", callers, callers * effort.calls, effort.repeats
                    )
                )
                await embedder.close()
    cached = serving(settings.model_copy(update={"cache_bytes": 64 * 1024**2}))
    rows.append(await _measured(cached, "the cache", 1, effort.hits, effort.repeats, texts=256))
    await cached.close()
    return rows


def run(effort: Effort = Effort()) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    start = [sys.executable, str(SERVER)]
    with (
        process.Process(start) as together,
        process.Process([*start, "--one-at-a-time"]) as single,
        report.progress("embedding", 1) as advance,
    ):
        addresses = {"all at once": together.address, "one at a time": single.address}
        rows = measure.run(_rows(addresses, effort))
        advance()
    report.table(
        f"embedding one text a call, {effort.repeats} times each, medians",
        ("endpoint", "callers", "p50 ms", "p99 ms", "texts/s"),
        [
            (row["what"], str(row["callers"]), *_cells(row, 3 if row["what"] == "the cache" else 1))
            for row in rows
        ],
    )
    fastest = statistics.median(row["per_second"] for row in rows if row["what"] == "the cache")
    report.say(f"a text that the cache has takes {1e6 / fastest:.0f} us")
    return {"repeats": effort.repeats, "rows": rows}


def _cells(row: dict[str, Any], digits: int) -> tuple[str, str, str]:
    return (
        f"{row['p50_ms']:.{digits}f}",
        f"{row['p99_ms']:.{digits}f}",
        f"{row['per_second']:,.0f}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command.run(
        "embedding",
        command.parser(__doc__),
        lambda given: run(QUICK if given.quick else Effort()),
        arguments,
    )


if __name__ == "__main__":
    main()
