"""Which request goes where, and who may ask."""

from __future__ import annotations

from typing import Any, Final

import orjson

from memplane_adapters.pinecone.emulator.control import Control
from memplane_adapters.pinecone.emulator.data import Data
from memplane_adapters.pinecone.emulator.errors import RefusalError, bad
from memplane_adapters.pinecone.emulator.faults import Faults
from memplane_adapters.pinecone.emulator.http import Reply, Request
from memplane_adapters.pinecone.emulator.state import State

API_VERSION: Final = "2026-07"
_MOST_BYTES: Final = 2 * 1024 * 1024
"""Of a body."""


class Service:
    """Answers requests."""

    def __init__(self, state: State, *, api_key: str) -> None:
        self._state = state
        self._api_key = api_key
        self._control = Control(state)
        self._data = Data(state)
        self._faults = Faults()

    async def answer(self, request: Request) -> Reply:
        """One request."""
        try:
            return self._answer(request)
        except RefusalError as refusal:
            return refusal.reply

    def _answer(self, request: Request) -> Reply:
        parts = request.parts
        if parts == ["emulator"]:
            if request.method == "POST":
                self._faults.set(_json(request))
            return Reply({"emulator": "of Pinecone, by Memplane; not the vendor's"})
        self._admit(request)
        body = _json(request) if request.method in ("POST", "PATCH") else None
        if parts[0] == "indexes":
            host = request.headers.get("host", "")
            return self._control.answer(request.method, parts[1:], body, host)
        if parts[0] == "data" and len(parts) > 2:
            return self._data.answer(parts[1], request, parts[2:], body)
        raise RefusalError(404, f"there is nothing at {request.path}")

    def _admit(self, request: Request) -> None:
        if request.headers.get("api-key") != self._api_key:
            raise RefusalError(401, "Invalid API Key")
        version = request.headers.get("x-pinecone-api-version")
        if version != API_VERSION:
            raise bad(f"this is API version {API_VERSION}, not {version}")
        self._faults.strike(request.path)
        if len(request.body) > _MOST_BYTES:
            raise RefusalError(
                413, f"Request size {len(request.body)} exceeds the limit of {_MOST_BYTES} bytes"
            )


def _json(request: Request) -> Any:
    try:
        return orjson.loads(request.body)
    except ValueError:
        raise bad("the body is no JSON") from None
