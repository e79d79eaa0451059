"""TLS before a server that has none."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """One for localhost, made by itself, and its key."""

    file: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """What a server takes; gRPC wants to hear of HTTP/2 with the handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl makes certificates here")
    made = Certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(made.key), "-out", str(made.file)),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        ],
        check=True,
        capture_output=True,
    )
    return made


@asynccontextmanager
async def door(host: str | None, port: int | None, certificate: Certificate) -> AsyncIterator[int]:
    """The port of something with TLS that passes all on to a server."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection(host, port)
        await asyncio.gather(_pipe(reader, on), _pipe(back, writer))

    listening = await asyncio.start_server(forward, "127.0.0.1", 0, ssl=certificate.context())
    async with listening:
        yield listening.sockets[0].getsockname()[1]


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
