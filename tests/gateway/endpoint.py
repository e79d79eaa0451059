"""An OpenAI-compatible HTTP server of the tests' own."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from memplane_adapters.contract import Vector
from memplane_gateway.embedders import Embedder, EmbedderSettings, create, serving

SETTINGS: TypeAdapter[Any] = TypeAdapter(EmbedderSettings)
OPENAI: dict[str, Any] = {"provider": "openai", "model": "m", "dimension": 3}
KEY = "sk-very-secret-0123456789"


@dataclass
class Reply:
    """What the server answers instead of vectors."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def numbers_of(text: str) -> list[float]:
    """Three numbers of a text; nine times a unit vector at most."""
    return [byte - 128.0 for byte in hashlib.sha256(text.encode()).digest()[:3]]


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # as many may connect at once


class Endpoint:
    """An OpenAI-compatible server on a free port."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.respond: Callable[[dict[str, Any]], Reply] = self.vectors
        self.released = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.requests.append(request)
                endpoint.keys.append(self.headers["Authorization"])
                known = self.path == "/v1/embeddings"
                reply = endpoint.respond(request) if known else Reply(404)
                body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                self.send_response(reply.status)
                for name, value in (reply.headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode("ascii"))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def vectors(self, request: dict[str, Any]) -> Reply:
        data = []
        for index, text in enumerate(request["input"]):
            numbers: Any = numbers_of(text)
            if request["encoding_format"] == "base64":
                numbers = base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()
            data.append({"object": "embedding", "index": index, "embedding": numbers})
        return Reply(body={"object": "list", "data": data[::-1], "model": request["model"]})

    def floats_only(self, request: dict[str, Any]) -> Reply:
        if request["encoding_format"] == "base64":
            return Reply(400, {"message": "base64 encoding is not currently supported"})
        return self.vectors(request)

    def hang(self, request: dict[str, Any]) -> Reply:
        self.released.wait(30)
        return Reply(500)

    def embedder(self, **given_settings: Any) -> Embedder:
        return create(self.settings(**given_settings))

    def serving(self, **given_settings: Any) -> Embedder:
        return serving(self.settings(**given_settings))

    def settings(self, **given_settings: Any) -> Any:
        values = OPENAI | {"base_url": f"{self.address}/v1/"} | given_settings
        return SETTINGS.validate_python(values)


def assert_right(texts: list[str], vectors: list[Vector | None]) -> None:
    for text, vector in zip(texts, vectors, strict=True):
        expected = np.array(numbers_of(text))
        assert vector is not None
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), rtol=1e-5)
