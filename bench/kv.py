"""What the gateway makes of key-values: beside the store's own library, and over a bare echo.

python bench/kv.py [--stores redis,postgres,embedded] [--quick] [--json FILE]

PROCEDURAL memories are read and written through a gateway by `AsyncClient`, and the same values as
JSON by the library that an agent would use instead, on the same server. Beside them the gateway gets
bytes that were made before, and a bare grpc.aio server the same. All four in turns, several times;
medians are shown, and the lowest and highest ratio of a turn.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from grpc import aio

# A script finds what stands beside it, a package what stands above.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import command, measure, process, report, stores
from bench.direct_values import DIRECT_VALUES, DirectValues
from bench.echo_server import METHOD as ECHO

from memplane import AsyncClient, Kind, MemplaneError, Outcome, Put, Ref
from memplane.v1 import memory_pb2, memory_service_pb2

Call = Callable[[int], Awaitable[object]]

LABEL: Final = "bench"
KEYS: Final = 100
"""Of each user."""
NOTE: Final = "Answer in short sentences. Ask before you change a file. Never send mail. " * 3
SERVICE: Final = "/memplane.v1.MemoryService/"
DEFAULT: Final = "redis"


@dataclass(frozen=True, slots=True)
class Load:
    """Calls to be made."""

    items: int
    """Of each call."""
    concurrency: int
    calls: int
    """In a turn."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    repeats: int = 5
    users: int = 64
    """Namespaces; a call stays in one. With as many as calls under way none waits for another."""
    loads: tuple[Load, ...] = (
        Load(1, 1, 200),
        Load(1, 16, 480),
        Load(1, 64, 960),
        Load(10, 1, 60),
        Load(10, 16, 96),
        Load(100, 1, 20),
        Load(100, 16, 32),
    )


QUICK: Final = Effort(
    repeats=2,
    loads=(
        Load(1, 1, 60),
        Load(1, 16, 160),
        Load(1, 64, 320),
        Load(10, 1, 20),
        Load(10, 16, 48),
        Load(100, 1, 8),
        Load(100, 16, 16),
    ),
)


@dataclass(frozen=True, slots=True)
class Values:
    """What is written: no value twice, for a gateway does not write what is there already."""

    users: int
    generations: Iterator[int] = field(default_factory=itertools.count)

    def new(self) -> dict[str, str | int]:
        """A value: some settings, and a note. About 320 bytes of JSON."""
        return {
            "style": "short",
            "language": "en",
            "note": NOTE,
            "generation": next(self.generations),
        }

    def refs(self, number: int, items: int) -> list[Ref]:
        """What a call with that number is about: neighbours in one namespace."""
        user, start = number % self.users, number // self.users * items
        return [
            Ref(Kind.PROCEDURAL, (LABEL, f"user-{user}"), f"setting-{(start + index) % KEYS}")
            for index in range(items)
        ]


def key_of(ref: Ref) -> str:
    """A ref as one string, as somebody without a gateway might write it."""
    return "/".join((*ref.namespace, ref.key))


@dataclass(frozen=True, slots=True)
class Operation:
    """Something to measure with so many items a call, in four ways."""

    name: str
    method: str
    client: Call
    """Through the gateway, as an agent does it."""
    direct: Call | None
    """By the library, if there is one."""
    request: Callable[[int], bytes]
    """The request of a call, to be made before."""


def operations(
    values: Values, client: AsyncClient, direct: DirectValues | None, items: int
) -> list[Operation]:
    """All that is measured with so many items a call."""

    async def get(number: int) -> None:
        refs = values.refs(number, items)
        found = await client.get_many(refs)
        assert all(memory is not None and memory.value["note"] == NOTE for memory in found)

    async def put(number: int) -> None:
        puts = [Put(ref, value=values.new()) for ref in values.refs(number, items)]
        written = await client.put_many(puts)
        assert all(one.outcome is Outcome.UPDATED for one in written), written

    def of(library: DirectValues) -> tuple[Call, Call]:
        async def get(number: int) -> None:
            found = await library.get([key_of(ref) for ref in values.refs(number, items)])
            assert len(found) == items
            assert all(value["note"] == NOTE for value in found)

        async def put(number: int) -> None:
            refs = values.refs(number, items)
            await library.put({key_of(ref): values.new() for ref in refs})

        return get, put

    direct_get, direct_put = (None, None) if direct is None else of(direct)
    return [
        Operation(
            "get", "GetMemories", get, direct_get, lambda number: _get(values.refs(number, items))
        ),
        Operation(
            "put",
            "PutMemories",
            put,
            direct_put,
            lambda number: _put(values.refs(number, items), values),
        ),
    ]


def _get(refs: Sequence[Ref]) -> bytes:
    request = memory_service_pb2.GetMemoriesRequest(refs=map(_message, refs))
    return request.SerializeToString()


def _put(refs: Sequence[Ref], values: Values) -> bytes:
    request = memory_service_pb2.PutMemoriesRequest(request_id=f"bench-{next(values.generations)}")
    for ref in refs:
        memory = request.puts.add().memory
        memory.ref.CopyFrom(_message(ref))
        for name, value in values.new().items():
            one = memory.value.map_value.entries[name]
            if isinstance(value, str):
                one.string_value = value
            else:
                one.int_value = value
    return request.SerializeToString()


def _message(ref: Ref) -> memory_pb2.MemoryRef:
    return memory_pb2.MemoryRef(
        kind=memory_pb2.KIND_PROCEDURAL, namespace=ref.namespace, key=ref.key
    )


# --- measuring --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """One operation in all ways, one after the other."""

    gateway: measure.Sample
    direct: measure.Sample | None
    bare: measure.Sample
    """The gateway, asked with bytes, whose answer nobody reads."""
    echo: measure.Sample
    cpu_us: float
    """What the gateway's process spent for a call of the client's, user and system."""


@dataclass(frozen=True, slots=True)
class Bench:
    """All that is there to be measured."""

    server: process.Process
    gateway: aio.Channel
    echo: aio.Channel

    async def turn(self, operation: Operation, load: Load, first: int) -> Turn:
        """Measures an operation, with calls numbered from `first`."""
        requests = [operation.request(first + number) for number in range(load.calls)]

        async def measured(call: Call) -> measure.Sample:
            return await measure.load(
                call, calls=load.calls, concurrency=load.concurrency, first=first
            )

        def sent(channel: aio.Channel, method: str) -> Call:
            send: aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            return lambda number: send(requests[number - first], timeout=60)

        echo = await measured(sent(self.echo, ECHO))
        bare = await measured(sent(self.gateway, SERVICE + operation.method))
        direct = None if operation.direct is None else await measured(operation.direct)
        before = self.server.cpu_seconds()
        gateway = await measured(operation.client)
        spent = self.server.cpu_seconds() - before
        return Turn(gateway, direct, bare, echo, spent / load.calls * 1e6)


async def measure_all(
    bench: Bench, client: AsyncClient, direct: DirectValues | None, effort: Effort
) -> list[dict[str, Any]]:
    """All operations with each load."""
    values = Values(effort.users)
    await fill(values, client, direct)
    turns: dict[tuple[Load, str], list[Turn]] = {}
    steps = (effort.repeats + 1) * len(effort.loads) * len(operations(values, client, direct, 1))
    with report.progress("measuring", steps) as advance:
        # The first round warms up and is forgotten.
        for repeat in range(effort.repeats + 1):
            for load in effort.loads:
                for operation in operations(values, client, direct, load.items):
                    measured = await bench.turn(operation, load, repeat * load.calls)
                    if repeat:
                        turns.setdefault((load, operation.name), []).append(measured)
                    advance()
    return [_row(load, name, measured) for (load, name), measured in turns.items()]


async def fill(values: Values, client: AsyncClient, direct: DirectValues | None) -> None:
    """Writes each key once, on both sides."""
    report.say(f"writing {values.users * KEYS} values ...")
    for user in range(values.users):
        refs = values.refs(user, KEYS)
        (await client.put_many(Put(ref, value=values.new()) for ref in refs)).raise_for_error()
        if direct is not None:
            await direct.put({key_of(ref): values.new() for ref in refs})


def _row(load: Load, name: str, turns: Sequence[Turn]) -> dict[str, Any]:
    """Medians; ratios and differences are of each turn before the median is taken."""
    row: dict[str, Any] = {
        "operation": name,
        "items": load.items,
        "concurrency": load.concurrency,
        "gateway": asdict(measure.median_of([one.gateway for one in turns])),
        "bare": asdict(measure.median_of([one.bare for one in turns])),
        "echo": asdict(measure.median_of([one.echo for one in turns])),
        **measure.added([(one.bare, one.echo) for one in turns]),
        "cpu_us_per_call": statistics.median(one.cpu_us for one in turns),
    }
    pairs = [(one.gateway, one.direct) for one in turns if one.direct is not None]
    if pairs:
        row["direct"] = asdict(measure.median_of([direct for _, direct in pairs]))
        row |= measure.ratios(pairs)
    return row


# --- stores -----------------------------------------------------------------------------------


def settings_of(place: stores.Place) -> dict[str, Any]:
    """The configuration of a gateway that keeps PROCEDURAL memories there, all else embedded."""
    searched = {"store": stores.EMBEDDED, "embedder": "bench"}
    return {
        "routes": {
            "semantic": searched,
            "episodic": searched,
            "procedural": {"store": place.adapter},
        },
        "stores": {
            stores.EMBEDDED: {"adapter": stores.EMBEDDED},
            place.adapter: place.settings,
        },
        "embedders": {"bench": {"provider": "none", "dimension": 8}},
        "log": {"level": "warning"},
    }


async def measure_store(
    place: stores.Place, gateway: process.Process, echo: process.Process, effort: Effort
) -> dict[str, Any]:
    """All figures of one store."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    direct = DIRECT_VALUES[place.adapter](place) if place.adapter in DIRECT_VALUES else None
    async with (
        AsyncClient(gateway.address) as client,
        aio.insecure_channel(gateway.address, options) as gateway_channel,
        aio.insecure_channel(echo.address, options) as echo_channel,
    ):
        await stores.serving(client)
        durability = (await client.status()).routes[Kind.PROCEDURAL].durability
        bench = Bench(gateway, gateway_channel, echo_channel)
        try:
            if direct is not None:
                await direct.open()
            rows = await measure_all(bench, client, direct, effort)
        finally:
            if direct is not None:
                await direct.close()
    return {
        "how": place.how,
        "durability": durability.name,
        "beside": None if direct is None else direct.library,
        "rows": rows,
    }


def run(
    names: Sequence[str],
    effort: Effort = Effort(),
    *,
    memplane: Path = process.MEMPLANE,
    pin: bool = True,
) -> dict[str, Any]:
    """Measures, prints, and returns all figures."""
    report.loaded()
    server_cores, client_cores = process.two_cores() if pin else (frozenset[int](),) * 2
    bare = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
    cores = {"server": min(server_cores), "client": min(client_cores)} if server_cores else None
    found: dict[str, Any] = {}
    for name in names:
        with (
            process.scratch() as directory,
            process.on_cores(server_cores),
            stores.place(name, directory, "key_values") as place,
            process.gateway(directory, settings_of(place), memplane=memplane) as gateway,
            process.Process(bare) as echo,
            process.on_cores(client_cores),
        ):
            try:
                found[name] = measure.run(measure_store(place, gateway, echo, effort))
            except* MemplaneError as errors:
                raise process.BenchError(
                    f"{name}: {measure.first_of(errors)}\n{gateway.said()}"
                ) from errors
        show(name, found[name], effort.repeats, cores)
    return {"repeats": effort.repeats, "cores": cores, "stores": found}


def show(
    store: str, figures: Mapping[str, Any], repeats: int, cores: Mapping[str, int] | None
) -> None:
    """Prints the figures of a store."""
    placed = (
        f"servers on core {cores['server']}, client on core {cores['client']}"
        if cores
        else "servers and client share the cores: not pinned"
    )
    beside = figures["beside"]
    compared = [
        *(f"{beside} {unit}" for unit in ("p50", "p99", "/s")),
        "ratio p50",
        "ratio /s",
    ]
    report.table(
        f"{store}: {figures['how']}, {figures['durability']}; {placed}; "
        f"medians of {repeats} turns, grpcio {grpc.__version__}",
        (
            "operation",
            "items",
            "at once",
            "p50 ms",
            "p99 ms",
            "calls/s",
            *(compared if beside else ()),
            "echo p50",
            "+p50 ms",
            "+p99 ms",
            "cpu us",
        ),
        [
            (
                row["operation"],
                str(row["items"]),
                str(row["concurrency"]),
                *report.numbers(row["gateway"]),
                *(_compared(row) if beside else ()),
                f"{row['echo']['p50_ms']:.2f}",
                f"{row['p50_added_ms']:+.2f}",
                f"{row['p99_added_ms']:+.2f}",
                f"{row['cpu_us_per_call']:.0f}",
            )
            for row in figures["rows"]
        ],
    )


def _compared(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        *report.numbers(row["direct"]),
        report.ratio(row),
        f"{row['per_second_ratio']:.2f}",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command.parser(__doc__)
    options.add_argument(
        "--stores",
        type=functools.partial(stores.chosen, keeps="key_values"),
        default=DEFAULT,
        help=f'with commas, or "{stores.ALL}": those at hand',
    )
    command.run(
        "kv",
        options,
        lambda given: run(
            given.stores, QUICK if given.quick else Effort(), memplane=given.memplane
        ),
        arguments,
    )


if __name__ == "__main__":
    main()
