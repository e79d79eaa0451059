"""What the edge tells a client's channel about sending a call again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc import aio

from memplane import AsyncClient, Unavailable
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.interceptors import generic_handlers
from memplane_gateway.interceptors.call import Call

GET = "/memplane.v1.MemoryService/GetMemories"


@asynccontextmanager
async def failing(make: Callable[[], MemplaneError]) -> AsyncIterator[tuple[str, list[Call]]]:
    """A server whose calls all fail; its address, and the calls that it has got."""
    calls: list[Call] = []

    async def fail(call: Call) -> bytes:
        calls.append(call)
        raise make()

    server = aio.server()
    server.add_generic_rpc_handlers(tuple(generic_handlers({GET: fail})))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", calls
    finally:
        await server.stop(None)


def unavailable(**options: object) -> MemplaneError:
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        "made up",
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("error", "calls_made"),
    [
        pytest.param(unavailable, 4, id="plain: the channel tries again"),
        pytest.param(lambda: unavailable(retry_after=0.01), 4, id="it says when"),
        pytest.param(
            lambda: unavailable(metadata={"ambiguous": "true"}), 1, id="ambiguous: never again"
        ),
    ],
)
async def test_only_what_is_safe_is_sent_again(
    error: Callable[[], MemplaneError], calls_made: int
) -> None:
    async with failing(error) as (address, calls), AsyncClient(address) as client:
        with pytest.raises(Unavailable):
            await client.scope("n").get("semantic", "k")
    assert len(calls) == calls_made


def test_the_code_is_the_one_that_channels_retry() -> None:
    assert int(Code.UNAVAILABLE) == grpc.StatusCode.UNAVAILABLE.value[0]
