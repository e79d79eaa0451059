"""A double of Weaviate's two ways in, made from the vendor's own stubs: it answers what a case tells it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import grpc

from memplane_adapters.weaviate.stubs import (
    aggregate_pb2,
    batch_delete_pb2,
    batch_pb2,
    search_get_pb2,
    tenants_pb2,
)

HOST = "127.0.0.1"
VERSION = "1.39.0"
_SERVICE = "/weaviate.v1.Weaviate/"
_REQUESTS: dict[str, Any] = {
    "Search": search_get_pb2.SearchRequest,
    "BatchObjects": batch_pb2.BatchObjectsRequest,
    "BatchDelete": batch_delete_pb2.BatchDeleteRequest,
    "Aggregate": aggregate_pb2.AggregateRequest,
    "TenantsGet": tenants_pb2.TenantsGetRequest,
}
EMPTY: dict[str, Any] = {
    "Search": search_get_pb2.SearchReply(),
    "BatchObjects": batch_pb2.BatchObjectsReply(),
    "BatchDelete": batch_delete_pb2.BatchDeleteReply(),
    "Aggregate": aggregate_pb2.AggregateReply(),
    "TenantsGet": tenants_pb2.TenantsGetReply(),
}
"""What a server answers that holds nothing."""


class Heard(NamedTuple):
    """A request that came."""

    name: str
    request: Any
    headers: dict[str, str]


class RefusedError(Exception):
    """What an answer raises to be answered with a code."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__(details)
        self.code = code


class Double:
    """One server. `answers` holds by rpc what is answered instead: bytes, a message or a function.

    `rest` holds by method and path status and body; what is not there is a schema of its own.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.rest: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.heard: list[Heard] = []
        self.version = VERSION
        self._classes: dict[str, Any] = {}
        self._http = ThreadingHTTPServer((HOST, 0), self._handler())
        self._http.daemon_threads = True
        self._grpc = grpc.server(ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
        self._grpc.add_generic_rpc_handlers((_Anything(self),))
        self.grpc_port = self._grpc.add_insecure_port(f"{HOST}:0")

    @property
    def url(self) -> str:
        """Where REST is."""
        return f"http://{HOST}:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        self._grpc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None).wait()

    def asked(self, name: str) -> list[Heard]:
        """The requests of one sort."""
        return [each for each in self.heard if each.name == name]

    def answer(self, name: str, data: bytes, context: grpc.ServicerContext) -> bytes:
        """What an rpc is answered."""
        headers = {str(key): str(value) for key, value in context.invocation_metadata()}
        request = _REQUESTS[name].FromString(data) if name in _REQUESTS else data
        self.heard.append(Heard(name, request, headers))
        told = self.answers.get(name, EMPTY.get(name, b"\x08\x01"))  # 1 is SERVING
        try:
            said = told(request) if callable(told) else told
        except RefusedError as failure:
            context.abort(failure.code, str(failure))
        answered: bytes = said if isinstance(said, bytes) else said.SerializeToString()
        return answered

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = urlsplit(self.path).path
                heard = Heard(f"{self.command} {path}", body, dict(self.headers.items()))
                double.heard.append(heard)
                status, said = double._said(self.command, path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = respond  # noqa: N815 (of http.server)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler

    def _said(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if (method, path) in self.rest:
            return self.rest[method, path]
        if path == "/v1/meta":
            return 200, json.dumps({"version": self.version}).encode()
        if method == "POST":
            made = json.loads(body)
            self._classes[made["class"]] = made
            return 200, body
        if path == "/v1/schema":
            return 200, json.dumps({"classes": list(self._classes.values())}).encode()
        found = self._classes.get(path.removeprefix("/v1/schema/"))
        return (404, b"") if found is None else (200, json.dumps(found).encode())


class _Anything(grpc.GenericRpcHandler):
    """Takes every rpc, as bytes: what goes back need not be a message."""

    def __init__(self, double: Double) -> None:
        self._double = double

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        name = handler_call_details.method.removeprefix(_SERVICE)
        answer: Callable[[bytes, grpc.ServicerContext], bytes] = lambda data, context: (  # noqa: E731
            self._double.answer(name, data, context)
        )
        return grpc.unary_unary_rpc_method_handler(answer)
