"""As much of HTTP/1.1 as a JSON service needs: keep-alive, and bodies with a length."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, unquote

import orjson

_MOST_HEAD: Final = 16 * 1024
_MOST_BODY: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    path: str
    """Still percent-encoded, so that its parts can be told apart."""
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    @property
    def parts(self) -> list[str]:
        """The parts of the path, decoded."""
        return [unquote(part) for part in self.path.strip("/").split("/")]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answer: TypeAlias = Callable[[Request], Awaitable[Reply]]


async def serve(answer: Answer, host: str, port: int) -> asyncio.Server:
    """Listen; each connection is answered request by request."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that goes away is no error of the server.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await _read(reader)) is not None:
                writer.write(_written(await answer(request)))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(connected, host, port, limit=_MOST_HEAD)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None when there is none, or none that could be read."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return None
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    length = int(headers.get("content-length", "0"))
    if length > _MOST_BODY:
        return None
    body = await reader.readexactly(length)
    path, _, query = target.partition("?")
    return Request(method, path, parse_qs(query, keep_blank_values=True), headers, body)


def _written(reply: Reply) -> bytes:
    body = orjson.dumps(reply.body, option=orjson.OPT_SERIALIZE_NUMPY)
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
