"""What a gateway adds to the least that gRPC in Python costs: latency over a bare grpc.aio echo.

python bench/echo.py [--quick] [--json FILE]

Each operation is measured right beside an echo of the same request bytes by the same client, in
turns, several times; medians are shown. The client sends bytes that were made before and does not
read the answers, so that only servers differ; two more rows go through `AsyncClient`.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc import aio

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import command, measure, process, report, workload
from bench.echo_server import METHOD as ECHO

from memplane import AsyncClient, Kind, Mode
from memplane.v1 import memory_pb2, memory_service_pb2, search_pb2

Call = Callable[[int], Awaitable[object]]

PAGE: Final = 10
PREPARED: Final = 512
"""Requests that are made before, and used again and again."""
SERVICE: Final = "/memplane.v1.MemoryService/"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    memories: int = 10_000
    repeats: int = 5
    calls: tuple[tuple[int, int], ...] = ((1, 600), (64, 2_000))
    """Concurrency, and calls a repeat."""


QUICK: Final = Effort(memories=2_000, repeats=2, calls=((1, 150), (64, 500)))


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to measure, and the requests whose bytes the echo gets."""

    name: str
    call: Call
    echo: Call


@dataclass(frozen=True, slots=True)
class Turn:
    """One operation and its echo, measured one after the other."""

    gateway: measure.Sample
    echo: measure.Sample
    cpu_us: float
    """What the gateway's process spent for a call, user and system."""


async def operations(
    data: workload.Workload, client: AsyncClient, gateway: aio.Channel, echo: aio.Channel
) -> list[Operation]:
    """All that is measured."""
    made = [
        _raw("get, PROCEDURAL", "GetMemories", _gets(data.value_ref), gateway, echo),
        _raw("get, SEMANTIC", "GetMemories", _gets(data.ref), gateway, echo),
        _raw("search, KEYWORD", "SearchMemories", _searches(data, Mode.KEYWORD), gateway, echo),
        _raw("search, VECTOR", "SearchMemories", _searches(data, Mode.VECTOR), gateway, echo),
    ]
    scope = client.scope(workload.LABEL)

    async def get(number: int) -> None:
        await client.get(data.value_ref(number))

    async def search(number: int) -> None:
        await scope.search(vector=data.query_vector(number), mode=Mode.VECTOR, limit=PAGE)

    for name, call, like in (
        ("get, PROCEDURAL, AsyncClient", get, made[0]),
        ("search, VECTOR, AsyncClient", search, made[3]),
    ):
        made.append(Operation(name, call, like.echo))
    return made


def _raw(
    name: str, method: str, requests: Sequence[bytes], gateway: aio.Channel, echo: aio.Channel
) -> Operation:
    return Operation(
        name, _caller(gateway, SERVICE + method, requests), _caller(echo, ECHO, requests)
    )


def _caller(channel: aio.Channel, method: str, requests: Sequence[bytes]) -> Call:
    send: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)

    async def call(number: int) -> None:
        await send(requests[number % len(requests)], timeout=60)

    return call


def _gets(ref_of: Callable[[int], Any]) -> list[bytes]:
    requests = []
    for number in range(PREPARED):
        ref = ref_of(number)
        kind = memory_pb2.Kind.Value(f"KIND_{ref.kind.name}")
        message = memory_pb2.MemoryRef(kind=kind, namespace=ref.namespace, key=ref.key)
        requests.append(memory_service_pb2.GetMemoriesRequest(refs=[message]).SerializeToString())
    return requests


def _searches(data: workload.Workload, mode: Mode) -> list[bytes]:
    requests = []
    for number in range(PREPARED):
        query = search_pb2.SearchQuery(
            kind=memory_pb2.KIND_SEMANTIC,
            namespace=[workload.LABEL],
            mode=search_pb2.SearchMode.Value(f"SEARCH_MODE_{mode.name}"),
            page_size=PAGE,
        )
        if mode is Mode.VECTOR:
            query.vector = data.query_vector(number).astype("<f4").tobytes()
        else:
            query.text = data.question(number)
        request = memory_service_pb2.SearchMemoriesRequest(queries=[query])
        requests.append(request.SerializeToString())
    return requests


async def turn(
    operation: Operation, server: process.Process, *, calls: int, concurrency: int, first: int
) -> Turn:
    """Measures an operation and its echo."""
    echo = await measure.load(operation.echo, calls=calls, concurrency=concurrency, first=first)
    before = server.cpu_seconds()
    gateway = await measure.load(operation.call, calls=calls, concurrency=concurrency, first=first)
    spent = server.cpu_seconds() - before
    return Turn(gateway, echo, spent / calls * 1e6)


async def measure_all(
    effort: Effort, gateway: process.Process, echo: process.Process
) -> list[dict[str, Any]]:
    """All operations at each concurrency."""
    data = workload.make(effort.memories)
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with (
        AsyncClient(gateway.address) as client,
        aio.insecure_channel(gateway.address, options) as gateway_channel,
        aio.insecure_channel(echo.address, options) as echo_channel,
    ):
        report.say(f"writing {effort.memories} memories ...")
        await workload.write(client, data)
        assert await client.count(Kind.SEMANTIC) == effort.memories
        chosen = await operations(data, client, gateway_channel, echo_channel)
        turns: dict[tuple[str, int], list[Turn]] = {}
        steps = (effort.repeats + 1) * len(effort.calls) * len(chosen)
        with report.progress("measuring", steps) as advance:
            # The first round warms up and is forgotten.
            for repeat in range(effort.repeats + 1):
                for concurrency, calls in effort.calls:
                    for operation in chosen:
                        measured = await turn(
                            operation,
                            gateway,
                            calls=calls if repeat else max(concurrency, calls // 4),
                            concurrency=concurrency,
                            first=repeat * calls,
                        )
                        if repeat:
                            turns.setdefault((operation.name, concurrency), []).append(measured)
                        advance()
    return [_row(name, concurrency, measured) for (name, concurrency), measured in turns.items()]


def _row(name: str, concurrency: int, turns: Sequence[Turn]) -> dict[str, Any]:
    """Medians; ratio and difference are of each turn before the median is taken."""
    pairs = [(one.gateway, one.echo) for one in turns]
    return {
        "operation": name,
        "concurrency": concurrency,
        "gateway": asdict(measure.median_of([one.gateway for one in turns])),
        "echo": asdict(measure.median_of([one.echo for one in turns])),
        **measure.added(pairs),
        **measure.ratios(pairs),
        "cpu_us_per_call": statistics.median(one.cpu_us for one in turns),
    }


def show(figures: dict[str, Any]) -> None:
    """Prints the figures."""
    where = figures["cores"]
    placed = (
        f"server on core {where['server']}, client on core {where['client']}"
        if where
        else "server and client share the cores: not pinned"
    )
    report.table(
        f"embedded store, {figures['memories']} x {workload.DIMENSION}, page {PAGE}; "
        f"{placed}; medians of {figures['repeats']} turns, grpcio {grpc.__version__}",
        (
            "operation",
            "at once",
            "p50 ms",
            "p99 ms",
            "ops/s",
            "echo p50",
            "echo p99",
            "echo/s",
            "+p50 ms",
            "+p99 ms",
            "ratio p50",
            "cpu us",
        ),
        [
            (
                row["operation"],
                str(row["concurrency"]),
                *report.numbers(row["gateway"]),
                *report.numbers(row["echo"]),
                f"{row['p50_added_ms']:+.2f}",
                f"{row['p99_added_ms']:+.2f}",
                report.ratio(row),
                f"{row['cpu_us_per_call']:.0f}",
            )
            for row in figures["rows"]
        ],
    )


def run(
    effort: Effort = Effort(), *, memplane: Path = process.MEMPLANE, pin: bool = True
) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    server_cores, client_cores = process.two_cores() if pin else (frozenset[int](),) * 2
    bare = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
    with (
        process.scratch() as directory,
        process.gateway(
            directory, workload.SETTINGS, memplane=memplane, cores=server_cores
        ) as gateway,
        process.Process(bare, cores=server_cores) as echo,
        process.on_cores(client_cores),
    ):
        rows = measure.run(measure_all(effort, gateway, echo))
    figures = {
        "memories": effort.memories,
        "dimension": workload.DIMENSION,
        "repeats": effort.repeats,
        "cores": {"server": min(server_cores), "client": min(client_cores)}
        if server_cores
        else None,
        "rows": rows,
    }
    show(figures)
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    command.run(
        "echo",
        command.parser(__doc__),
        lambda given: run(QUICK if given.quick else Effort(), memplane=given.memplane),
        arguments,
    )


if __name__ == "__main__":
    main()
