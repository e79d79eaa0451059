"""The emulator as a program."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path

from memplane_adapters.pinecone.emulator.http import serve
from memplane_adapters.pinecone.emulator.service import Service
from memplane_adapters.pinecone.emulator.state import State


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    words = argparse.ArgumentParser(
        prog="python -m memplane_adapters.pinecone.emulator",
        description="An emulator of Pinecone, for tests. It is Memplane's, not the vendor's.",
    )
    words.add_argument("--directory", type=Path, required=True, help="where it keeps its data")
    words.add_argument("--host", default="127.0.0.1")
    words.add_argument("--port", type=int, default=5080)
    words.add_argument("--api-key", default="emulator", help="the one key that is accepted")
    words.add_argument("--lag", type=int, default=1, help="how many writes reads lag behind")
    given = words.parse_args(arguments)
    asyncio.run(_run(given))


async def _run(given: argparse.Namespace) -> None:
    given.directory.mkdir(parents=True, exist_ok=True)
    state = State(given.directory / "emulator.db", lag=given.lag)
    service = Service(state, api_key=given.api_key)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = await serve(service.answer, given.host, given.port)
    async with server:
        await ended.wait()
    state.close()


if __name__ == "__main__":
    main()
