"""The least that a Python server with gRPC costs: grpc.aio on uvloop that gives back what it gets."""

from __future__ import annotations

import asyncio
import signal

import grpc
from grpc import aio

METHOD = "/bench.Echo/Echo"


async def _echo(raw: bytes, _context: aio.ServicerContext[bytes, bytes]) -> bytes:
    return raw


async def serve() -> None:
    """Runs until SIGTERM; says where it listens as the gateway does."""
    _, service, method = METHOD.split("/")
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_echo)
    server = aio.server(options=(("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 500)))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"echo listening on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:  # Windows has none
        asyncio.run(serve())
    else:
        uvloop.run(serve())
