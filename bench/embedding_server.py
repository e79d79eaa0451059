"""An OpenAI-compatible endpoint that takes 20 ms a request, however many texts are in it.

python bench/embedding_server.py [--one-at-a-time]
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import sys
from hashlib import blake2b

DIMENSION = 384
SECONDS = 0.020


def vector_of(text: str) -> str:
    """Numbers of a text, as base64 of float32; which does not matter."""
    row = blake2b(text.encode()).digest() * (DIMENSION * 4 // 64)
    return base64.b64encode(bytes(byte & 0x3F for byte in row)).decode()


class Server:
    """Answers requests, all at once or one at a time."""

    def __init__(self, at_once: int) -> None:
        self._free = asyncio.Semaphore(at_once)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it is closed."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0])
                texts = json.loads(await reader.readexactly(length))["input"]
                async with self._free:
                    await asyncio.sleep(SECONDS)
                rows = [
                    {"index": place, "embedding": vector_of(text)}
                    for place, text in enumerate(texts)
                ]
                body = json.dumps({"data": rows}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        writer.close()


async def main() -> None:
    """Runs until SIGTERM; says where it listens as the gateway does."""
    made = Server(1 if "--one-at-a-time" in sys.argv else 1_000)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"embeddings listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
