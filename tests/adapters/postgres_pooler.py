"""What a pooler shows of itself: a process number of its own, and start-up parameters that it refuses.

It pools nothing; it looks at what goes by.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.adapters.tls import Certificate

_HEAD = struct.Struct(">II")
_LENGTH = struct.Struct(">I")
_TLS, _GSS = 80877103, 80877104
_KEY, _PARSE, _ERROR = b"K", b"P", b"E"


class Pooler:
    """Stands before a server."""

    def __init__(
        self,
        upstream: str,
        *,
        takes_options: bool,
        shows_itself: bool,
        answers: bool,
        certificate: Certificate | None,
    ) -> None:
        address = urlsplit(upstream)
        self._host, self._port = address.hostname, address.port
        self._takes_options, self._shows_itself = takes_options, shows_itself
        self._answers = answers
        self._certificate = certificate
        self.prepared: set[bytes] = set()
        """Names of statements that were prepared."""
        self.refused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, OSError):
            start = await self._start(reader, writer)
            if b"\0options\0" in start and not self._takes_options:
                self.refused += 1
                writer.write(_refusal(b"unsupported startup parameter: options"))
                await writer.drain()
                return
            theirs, ours = await asyncio.open_connection(self._host, self._port)
            with contextlib.closing(ours):
                ours.write(start)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(reader, ours))
                    both.create_task(self._pass_back(theirs, writer))

    async def _start(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """The message that a connection begins with."""
        while True:
            head = await reader.readexactly(_HEAD.size)
            length, code = _HEAD.unpack(head)
            if code not in (_TLS, _GSS):
                return head + await reader.readexactly(length - _HEAD.size)
            if code == _TLS and self._certificate is not None:
                writer.write(b"S")
                await writer.start_tls(self._certificate.context())
            else:
                writer.write(b"N")

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, body = await _message(reader)
            if kind == _PARSE:
                self.prepared.add(body.partition(b"\0")[0])
            if self._answers:
                await _send(writer, kind, body)

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, body = await _message(reader)
            if kind == _KEY and self._shows_itself:
                body = _LENGTH.pack(1) + body[_LENGTH.size :]
            await _send(writer, kind, body)


@asynccontextmanager
async def pooler(
    upstream: str,
    *,
    takes_options: bool = True,
    shows_itself: bool = True,
    answers: bool = True,
    certificate: Certificate | None = None,
) -> AsyncIterator[tuple[Pooler, str]]:
    """A pooler before a server, and the URL with it in between.

    It may answer nothing once somebody is connected; with a certificate it speaks TLS.
    """
    made = Pooler(
        upstream,
        takes_options=takes_options,
        shows_itself=shows_itself,
        answers=answers,
        certificate=certificate,
    )
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    try:
        host, port = listening.sockets[0].getsockname()[:2]
        yield made, urlsplit(upstream)._replace(netloc=f"{host}:{port}").geturl()
    finally:
        listening.close()


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return kind, await reader.readexactly(length - _LENGTH.size)


async def _send(writer: asyncio.StreamWriter, kind: bytes, body: bytes) -> None:
    writer.write(kind + _LENGTH.pack(len(body) + _LENGTH.size) + body)
    await writer.drain()


def _refusal(text: bytes) -> bytes:
    body = b"SFATAL\0C08P01\0M" + text + b"\0\0"
    return _ERROR + _LENGTH.pack(len(body) + _LENGTH.size) + body
