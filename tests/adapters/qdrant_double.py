"""A Qdrant of our own over REST: the client library's engine behind HTTP, with a server's manners.

It does what was measured of a real server where the engine is milder: an order needs an index, in
strict mode every condition does; rows of one order value come in any order; updates and conflicts have
a server's statuses. And it can be told to fail.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models

_COLLECTION: Final = re.compile(r"/collections/([^/]+)(?:/(.*))?")
_PATIENCE: Final = 30.0


@dataclass
class Fault:
    """What is done instead of answering, to requests whose "METHOD /path" holds `where`.

    Over gRPC they are called "RPC METHOD /path", by what the same call is over REST.
    """

    where: str
    skip: int = 0
    """So many of them are answered first."""
    status: int = 0
    """Answer with this, and carry nothing out."""
    body: bytes = b'{"status":{"error":"made to fail"},"time":0}'
    headers: dict[str, str] = field(default_factory=dict)
    drop: str = ""
    """Break the connection "before" or "after" carrying it out."""
    update_status: str = ""
    """Carry it out, and say this of the update."""
    frozen: threading.Event | None = None
    """Wait for this before anything else."""


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Double:
    """One server. Requests run one at a time, as in a shard; between them anything may come."""

    def __init__(self, *, version: str = "1.18.3", api_key: str = "", strict: bool = True) -> None:
        self.version = version
        self.api_key = api_key
        self.strict = strict
        self.transport: Literal["grpc", "rest"] = "rest"
        self.grpc_port = 6334
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.engine = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.indexes: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.engine.close()

    @contextmanager
    def failing(self, where: str = "", **how: Any) -> Iterator[Fault]:
        """Fail for the time of a block."""
        fault = Fault(where, **how)
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.faults.remove(fault)

    def fault_for(self, request: str) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.where in request:
                    fault.skip -= 1
                    if fault.skip < 0:
                        return fault
        return None

    def answer(self, method: str, path: str, body: Any) -> Any:
        """Carry out a request; the `result` of the answer."""
        with self._lock:
            try:
                return self._answer(method, path, body)
            except ValueError as error:
                text = str(error)
                if "already exists" in text:
                    raise RefusedError(409, text) from error
                if "not found" in text:
                    name = text.removeprefix("Collection ").removesuffix(" not found")
                    text = f"Not found: Collection `{name}` doesn't exist!"
                    raise RefusedError(404, text) from error
                raise RefusedError(400, text) from error

    def _answer(self, method: str, path: str, body: Any) -> Any:
        if path == "/collections":
            return _json(self.engine.get_collections())
        match = _COLLECTION.fullmatch(path)
        if match is None:
            raise RefusedError(404, "")
        name, rest = match[1], match[2] or ""
        return _OPERATIONS[method, rest](self, name, body)

    def create(self, name: str, body: Any) -> Any:
        asked = models.CreateCollection(**body)
        assert isinstance(asked.vectors, dict)
        self.engine.create_collection(
            name,
            vectors_config=asked.vectors,
            sparse_vectors_config=asked.sparse_vectors,
            metadata=asked.metadata,
        )
        self.indexes[name] = {}
        return True

    def drop(self, name: str, body: Any = None) -> Any:
        return self.engine.delete_collection(name)

    def info(self, name: str, body: Any) -> Any:
        found = _json(self.engine.get_collection(name))
        found["payload_schema"] = {
            field_name: {"data_type": kind, "points": 0}
            for field_name, kind in self.indexes[name].items()
        }
        return found

    def index(self, name: str, body: Any) -> Any:
        self.engine.get_collection(name)
        self.indexes[name][body["field_name"]] = body["field_schema"]["type"]
        return _completed()

    def upsert(self, name: str, body: Any) -> Any:
        asked = models.PointsList(**body)
        self.engine.upsert(
            name, asked.points, update_filter=asked.update_filter, update_mode=asked.update_mode
        )
        return _completed()

    def retrieve(self, name: str, body: Any) -> Any:
        asked = models.PointRequest(**body)
        found = self.engine.retrieve(
            name,
            asked.ids,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
        )
        return [_json(point) for point in found]

    def delete(self, name: str, body: Any) -> Any:
        self._check_indexed(name, body["filter"])
        self.engine.delete(name, models.FilterSelector(**body))
        return _completed()

    def count(self, name: str, body: Any) -> Any:
        self._check_indexed(name, body.get("filter"))
        asked = models.CountRequest(**body)
        return _json(self.engine.count(name, count_filter=asked.filter))

    def query(self, name: str, body: Any) -> Any:
        self._check_indexed(name, body["filter"])
        asked = models.QueryRequest(**body)
        # The engine warns of the others; a server before 1.19 leaves out what it does not know.
        idf = asked.params.idf if asked.params and self.version >= "1.19" else None
        self._check_indexed(name, [body.get("params")])
        found = self.engine.query_points(
            name,
            query=asked.query,
            using=asked.using,
            query_filter=asked.filter,
            limit=asked.limit or 10,
            with_payload=asked.with_payload or False,
            with_vectors=asked.with_vector or False,
            search_params=models.SearchParams(idf=idf) if idf else None,
        )
        return _json(found)

    def scroll(self, name: str, body: Any) -> Any:
        self._check_indexed(name, body.get("filter"))
        asked = models.ScrollRequest(**body)
        options: dict[str, Any] = {
            "scroll_filter": asked.filter,
            "with_payload": asked.with_payload,
            "with_vectors": asked.with_vector or False,
        }
        limit = asked.limit or 10
        if asked.order_by is None:
            found, offset = self.engine.scroll(name, limit=limit, offset=asked.offset, **options)
        else:
            assert isinstance(asked.order_by, models.OrderBy)
            if self.indexes[name].get(asked.order_by.key) != "integer":
                raise RefusedError(400, f"Bad request: no range index for {asked.order_by.key}")
            found, offset = self.engine.scroll(
                name, limit=1_000_000, order_by=asked.order_by, **options
            )
            random.shuffle(found)
            down = asked.order_by.direction is models.Direction.DESC
            found.sort(key=_order_value, reverse=down)
            del found[limit:]
        return {"points": [_json(point) for point in found], "next_page_offset": offset}

    def _check_indexed(self, name: str, selected: Any) -> None:
        for key in _keys(selected):
            if self.strict and key not in self.indexes.get(name, {key: ""}):
                raise RefusedError(
                    400, f'Bad request: Index required but not found for "{key}" of some type'
                )


_OPERATIONS: Final[dict[tuple[str, str], Callable[[Double, str, Any], Any]]] = {
    ("PUT", ""): Double.create,
    ("GET", ""): Double.info,
    ("DELETE", ""): Double.drop,
    ("PUT", "index"): Double.index,
    ("PUT", "points"): Double.upsert,
    ("POST", "points"): Double.retrieve,
    ("POST", "points/delete"): Double.delete,
    ("POST", "points/count"): Double.count,
    ("POST", "points/query"): Double.query,
    ("POST", "points/scroll"): Double.scroll,
}


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False  # so that none is left behind when it has stopped


def _handler(double: Double) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"double": double})


class _Handler(BaseHTTPRequestHandler):
    """Takes requests, and does to them what a fault says."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    double: Double

    def do_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        fault = self.double.fault_for(f"{self.command} {path}") or Fault("")
        if fault.frozen is not None:
            fault.frozen.wait(_PATIENCE)
        if fault.drop == "before":
            self.close_connection = True
        elif fault.status:
            self._send(fault.status, fault.body, fault.headers)
        else:
            status, answer = self._carry_out(path, json.loads(body) if body else None)
            if fault.update_status and isinstance(answer.get("result"), dict):
                answer["result"]["status"] = fault.update_status
            if fault.drop == "after":
                self.close_connection = True
            else:
                self._send(status, json.dumps(answer).encode(), {})

    def _carry_out(self, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        double = self.double
        if double.api_key and self.headers.get("api-key") != double.api_key:
            return 401, {"status": {"error": "Must provide an API key"}, "time": 0.0}
        if path == "/":
            return 200, {"title": "qdrant", "version": double.version}
        try:
            result = double.answer(self.command, path, body)
        except RefusedError as error:
            return error.status, {"status": {"error": str(error)}, "time": 0.0}
        return 200, {"result": result, "status": "ok", "time": 0.0}

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    do_GET = do_PUT = do_POST = do_DELETE = do_request  # noqa: N815 (http.server's names)


def _keys(selected: Any, above: str = "") -> Iterator[str]:
    """The fields that a filter names, as an index would name them."""
    if isinstance(selected, list):
        for part in selected:
            yield from _keys(part, above)
    elif isinstance(selected, dict):
        if "nested" in selected:
            nested = selected["nested"]
            yield from _keys(nested["filter"], f"{above}{nested['key']}[].")
        elif "key" in selected:
            yield f"{above}{selected['key']}"
        else:
            for part in selected.values():
                yield from _keys(part, above)


def _order_value(point: models.Record) -> float:
    value = point.order_value
    assert isinstance(value, int | float)
    return value


def _completed() -> Any:
    return {"operation_id": 1, "status": "completed"}


def _json(model: Any) -> Any:
    return TypeAdapter(type(model)).dump_python(model, mode="json")


def fill_as_others_do(double: Double, name: str, rows: int) -> None:
    """A collection with one vector that has no name."""
    params = models.VectorParams(size=2, distance=models.Distance.EUCLID)
    double.engine.create_collection(name, vectors_config=params)
    double.indexes[name] = {}
    payload = {"text": "x", "n": 2**53 + 1, "deep": {"a": [1, 2.5, None, True]}}
    double.engine.upsert(
        name,
        [models.PointStruct(id=row, vector=[row, 1.0], payload=payload) for row in range(rows)],
    )
