"""A real gateway before a store's own server, and what can happen to the two."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

import grpc
from tests.faults.forwarder import Forwarder
from tests.faults.postgres_days import PostgresVendor
from tests.faults.process import Gateway, until

from memplane import Client, Health, Kind, MemplaneError, Mode, Unavailable
from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand
from memplane_adapters.conformance.servers import HOST
from memplane_adapters.contract import LocalStore

PATIENCE = 60.0
"""Seconds after which something that should come to be so has failed to."""

NO_RETRIES = (("grpc.enable_retries", 0),)
"""So that the first answer is seen."""


class Lock(Protocol):
    """Lets nobody through without the secret, which may change."""

    secret: str

    @property
    def url(self) -> str:
        """Where to knock."""
        ...

    @property
    def settings(self) -> Mapping[str, str]:
        """Those of a store that has the secret that is right at first."""
        ...


class Vendor(Protocol):
    """What only a vendor's own tools know: how to see and drop collections, and how to lock them."""

    def collections(self, url: str) -> list[str]:
        """The names of all collections, as the server itself tells."""
        ...

    def drop(self, url: str, name: str) -> None:
        """Drop one."""
        ...

    def locked(self, url: str) -> AbstractContextManager[Lock]:
        """Put a lock before a server that runs."""
        ...


@dataclass(frozen=True, slots=True)
class OverHttp:
    """A vendor that can be spoken to in JSON."""

    path: str
    """What lists the collections; one below it is one of them."""
    names: Callable[[Any], list[str]]
    """From the list as it is answered to their names."""
    header: str
    """Which header carries the secret."""
    secret: str
    """The setting that holds it."""
    scheme: str = ""
    """What stands before it there."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What its server wants to see besides, with the secret that it has by itself."""
    over_http: Mapping[str, str] = field(default_factory=dict)
    """Further settings with which all goes through HTTP."""
    grpc_port: str = ""
    """What part of the URL's query names the port of gRPC, where not all can go through HTTP."""

    def collections(self, url: str) -> list[str]:
        """As of a vendor."""
        return self.names(self._ask(url, "GET", self.path))

    def drop(self, url: str, name: str) -> None:
        """As of a vendor."""
        self._ask(url, "DELETE", f"{self.path}/{name}")

    def locked(self, url: str) -> AbstractContextManager[Lock]:
        """As of a vendor."""
        return Doorkeeper(url, self, "right")

    def _ask(self, url: str, method: str, path: str) -> Any:
        address = urlsplit(url)
        asking = http.client.HTTPConnection(address.hostname or HOST, address.port, timeout=20)
        asking.request(method, path, headers=dict(self.headers))
        answer = asking.getresponse()
        body = answer.read()
        asking.close()
        assert answer.status < 300, body
        return json.loads(body) if body else None


VENDORS: dict[str, Vendor] = {
    "chroma": OverHttp(
        path="/api/v2/tenants/default_tenant/databases/default_database/collections",
        names=lambda answer: [each["name"] for each in answer],
        header="X-Chroma-Token",
        secret="token",
    ),
    "pinecone": OverHttp(
        path="/indexes",
        names=lambda answer: [each["name"] for each in answer["indexes"]],
        header="Api-Key",
        secret="api_key",
        headers={"Api-Key": "emulator", "X-Pinecone-Api-Version": "2026-07"},
    ),
    "postgres": PostgresVendor(),
    "qdrant": OverHttp(
        path="/collections",
        names=lambda answer: [each["name"] for each in answer["result"]["collections"]],
        header="api-key",
        secret="api_key",
        over_http={"transport": "rest"},
    ),
    "weaviate": OverHttp(
        path="/v1/schema",
        names=lambda answer: [each["class"] for each in answer["classes"] or ()],
        header="authorization",
        secret="api_key",
        scheme="Bearer ",
        grpc_port="grpc_port",
    ),
}


class Behind(Protocol):
    """What stands behind a gateway: a server of its own, or a stand-in for one."""

    @property
    def url(self) -> str:
        """Where it is, as the adapter's `from_url` takes it."""
        ...

    def start(self) -> object:
        """Start; returns once it serves, on the same address as ever."""
        ...

    def stop(self) -> None:
        """Refuse connections."""
        ...

    def kill(self) -> None:
        """End in the middle of everything."""
        ...

    def pause(self) -> None:
        """Take connections, and answer nothing."""
        ...

    def resume(self) -> None:
        """Answer again."""
        ...

    def close(self) -> None:
        """Stop for good."""
        ...


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A sort of server to have bad days with."""

    name: str
    adapter: str
    make: Callable[[Servers, Path], Behind]
    """Makes one below a directory, not started."""

    def __str__(self) -> str:
        return self.name

    @property
    def vendor(self) -> Vendor:
        """The tools of its vendor."""
        return VENDORS[self.adapter]


def backdrops() -> list[Backdrop]:
    """The servers that can be had here; without one of Qdrant, our double of its REST side."""
    found = [
        _own(each.store, each)
        for each in at_hand(vectors=True)
        if each.store and each.store.program
    ]
    if find_spec("qdrant_client") is not None:
        found.append(Backdrop("qdrant-double", "qdrant", _double))
    return found


def _own(store: LocalStore, choice: Choice) -> Backdrop:
    return Backdrop(
        choice.name, choice.adapter_name, lambda servers, place: servers.own(store, place)
    )


def _double(servers: Servers, place: Path) -> Behind:
    from tests.adapters.qdrant_double import Double

    double = Double()
    double.start()
    return Forwarder(double.url, suffix="?transport=rest", end=double.stop)


@dataclass
class Day:
    """A server, a gateway before it, and a client that does not try again."""

    vendor: Vendor
    server: Behind
    gateway: Gateway
    client: Client

    def collections(self) -> list[str]:
        """The names of all collections, as the server itself tells."""
        return self.vendor.collections(self.server.url)

    def drop_all(self) -> None:
        """Drop every collection, behind the gateway's back."""
        for name in self.collections():
            self.vendor.drop(self.server.url, name)
        assert self.collections() == []


def wait_until_served(client: Client) -> None:
    """Return once the route serves, to which it must come by itself.

    After a start too: a machine under load may be slow to load the vendor's library.
    """
    until(lambda: client.status()[Kind.SEMANTIC].serving, PATIENCE, "serving")


def wait_until_said(client: Client, reason: str) -> None:
    """Return once the route does not serve for this reason; the gateway may just have started."""

    def said() -> bool:
        try:
            return client.status()[Kind.SEMANTIC].error == reason
        except Unavailable:  # the connection to the one before
            return False

    until(said, PATIENCE, reason)
    assert client.health("semantic") is Health.NOT_SERVING


def environ_for(name: str, url: str, **settings: str) -> dict[str, str]:
    """The variables that put a gateway's vector routes on a store of that adapter."""
    nested = {f"MEMPLANE_STORES__{name}__{key}".upper(): settings[key] for key in settings}
    return {"MEMPLANE_VECTOR": f"{name}+{url}", **nested}


@contextmanager
def day(
    backdrop: Backdrop, servers: Servers, place: Path, *, running: bool = True
) -> Iterator[Day]:
    """A gateway that is started, before a server that is too, if it is to be `running`."""
    server = backdrop.make(servers, place / "server")
    try:
        if running:
            server.start()
        gateway = Gateway(place, environ=environ_for(backdrop.adapter, server.url))
        with gateway, Client(gateway.address, options=NO_RETRIES) as client:
            yield Day(backdrop.vendor, server, gateway, client)
            assert "bug in" not in gateway.log
    finally:
        server.close()


def calls(client: Client, timeout: float) -> dict[str, Callable[[], object]]:
    """Every sort of call to the SEMANTIC route; each reads or writes memories that are there."""
    semantic = Kind.SEMANTIC
    return {
        "get": lambda: client.get(semantic, "first", timeout=timeout),
        "list": lambda: client.list(semantic, timeout=timeout).page(),
        "count": lambda: client.count(semantic, timeout=timeout),
        "filtered count": lambda: client.count(semantic, filter={"n": 1}, timeout=timeout),
        "search": lambda: client.search("green tea", mode=Mode.VECTOR, timeout=timeout),
        "recent": lambda: client.search(mode=Mode.RECENT, timeout=timeout),
        "put": lambda: client.put(semantic, "second", text="another", timeout=timeout),
        "update": lambda: client.update(semantic, "first", attributes={"n": 2}, timeout=timeout),
        "delete": lambda: client.delete(semantic, "first", timeout=timeout),
    }


def failures(client: Client, timeout: float = 10.0) -> dict[str, MemplaneError]:
    """How every sort of call fails; all of them must."""
    found: dict[str, MemplaneError] = {}
    for name, call in calls(client, timeout).items():
        try:
            answer = call()
        except MemplaneError as error:
            found[name] = error
        else:
            raise AssertionError(f"{name} was answered: {answer!r}")
    return found


class Doorkeeper:
    """A reverse proxy that lets nobody through without the secret."""

    def __init__(self, upstream: str, vendor: OverHttp, secret: str) -> None:
        self.secret = secret
        self.settings = {vendor.secret: secret, **vendor.over_http}
        self._vendor = vendor
        self._upstream = urlsplit(upstream)
        self._server = ThreadingHTTPServer((HOST, 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._side_door = _SideDoor(self, self._upstream) if vendor.grpc_port else None

    @property
    def url(self) -> str:
        """Where it is."""
        side = self._side_door
        query = f"?{self._vendor.grpc_port}={side.port}" if side is not None else ""
        return f"http://{HOST}:{self._server.server_address[1]}{query}"

    def lets_through(self, headers: Mapping[str, str]) -> bool:
        """Whether somebody has the secret; the names of headers are small letters."""
        said = headers.get(self._vendor.header.lower())
        return said == f"{self._vendor.scheme}{self.secret}"

    def __enter__(self) -> Self:
        self._thread.start()
        if self._side_door is not None:
            self._side_door.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._side_door is not None:
            self._side_door.stop()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        keeper = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, said = 401, b'{"error": "Unauthorized", "message": "who are you"}'
                own: Mapping[str, str] = {}
                if keeper.lets_through({key.lower(): it for key, it in self.headers.items()}):
                    status, said, own = keeper._forward(
                        self.command, self.path, body, dict(self.headers)
                    )
                with suppress(ConnectionError):  # the gateway may have given up
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(said)))
                    for name, value in own.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 (of http.server)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler

    def _forward(
        self, method: str, path: str, body: bytes, given: Mapping[str, str]
    ) -> tuple[int, bytes, Mapping[str, str]]:
        host, port = self._upstream.hostname or HOST, self._upstream.port
        asking = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", "Host": given["Host"]}
        asking.request(method, path, body, {**headers, **self._vendor.headers})
        answer = asking.getresponse()
        said = answer.read()
        asking.close()
        own = {name: value for name, value in answer.getheaders() if name.startswith("x-")}
        return answer.status, said, own


class _SideDoor(grpc.GenericRpcHandler):
    """The doorkeeper's other door: every unary rpc, as the bytes that it is."""

    def __init__(self, keeper: Doorkeeper, upstream: SplitResult) -> None:
        self._keeper = keeper
        port = dict(parse_qsl(upstream.query))[keeper._vendor.grpc_port]
        self._channel = grpc.insecure_channel(f"{upstream.hostname}:{port}")
        self._server = grpc.server(ThreadPoolExecutor(8))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"{HOST}:0")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes]:
        asked: Callable[..., bytes] = self._channel.unary_unary(handler_call_details.method)

        def answer(data: bytes, context: grpc.ServicerContext) -> bytes:
            headers = {str(key): str(value) for key, value in context.invocation_metadata()}
            if not self._keeper.lets_through(headers):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")
            try:
                said: bytes = asked(data, timeout=PATIENCE)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details() or "")
            return said

        return grpc.unary_unary_rpc_method_handler(answer)
