"""The client: the words and calls of a scope, about the whole tenant, and the gateway itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from memplane import _admin_replies, _health, _requests, _values
from memplane._async.connection import ADMIN_SERVICE, LIFECYCLE_SERVICE, AsyncConnection
from memplane._async.scope import AsyncScope
from memplane._async.state import AsyncState
from memplane._async.transport import AsyncTransport
from memplane._enums import Durability, Health, Kind, to_wire
from memplane._errors import InvalidArgument
from memplane._models import labels_of
from memplane._states import MergeLike
from memplane._status import Capabilities, OutboxEntry, OutboxResult, Status
from memplane._sweeps import SweepResult
from memplane.v1 import admin_service_pb2, sweep_pb2

if TYPE_CHECKING:
    import grpc

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncClient(AsyncScope):
    """A client of a Memplane gateway.

    It connects with the first call, and again whenever the connection is lost. One client serves any
    number of tasks, and any number of event loops, one after the other or in several threads.

    `list` is iterated over with `async for`, and asks for page after page meanwhile.

    Example:
        async with AsyncClient("localhost:50051") as client:
            ada = client.scope("support-bot", "user-42")
            await ada.remember("Prefers tea in the morning", attributes={"topic": "food"})
            for hit in await ada.search("what does she drink?", filter=attr("topic") == "food"):
                print(hit.relevance, hit.memory.text)
            async for memory in ada.list():
                print(memory.key, memory.text)
    """

    def __init__(
        self,
        target: str = "localhost:50051",
        *,
        tls: bool | bytes | grpc.ChannelCredentials = False,
        timeout: float = 30.0,
        metadata: Mapping[str, str] | None = None,
        options: Sequence[tuple[str, Any]] = (),
        transport: AsyncTransport | None = None,
    ) -> None:
        """Makes a client; nothing is sent yet.

        Args:
            target: Where the gateway listens: "host:port", "unix:/path" or "unix:///path".
            tls: True for an encrypted connection that trusts the system's roots, or the roots to
                trust (PEM), or credentials of gRPC. False sends everything in the clear.
            timeout: Seconds that a call may take, its retries included, where it has no timeout of
                its own. Infinity means no limit.
            metadata: Headers to send with every call; names in lower case.
            options: Further options of the gRPC channel; they win over those of this library.
            transport: Internal, for tests: what carries calls instead of a gRPC channel.

        Raises:
            InvalidArgument: The target is none, or another argument is not as it must be.
        """
        connection = AsyncConnection(
            target,
            tls=tls,
            timeout=timeout,
            metadata=metadata,
            options=options,
            transport=transport,
        )
        super().__init__(connection, ())

    @overload
    def state(
        self,
        key: str,
        *,
        ttl: timedelta | float | None = None,
        merge: MergeLike = "keys",
        min_durability: Durability | str | None = None,
        timeout: float | None = None,
    ) -> AsyncState: ...
    @overload
    def state(
        self,
        namespace: Iterable[str],
        key: str,
        *,
        ttl: timedelta | float | None = None,
        merge: MergeLike = "keys",
        min_durability: Durability | str | None = None,
        timeout: float | None = None,
    ) -> AsyncState: ...
    def state(  # type: ignore[misc]  # a key alone stands in the place of the namespace
        self,
        namespace: Iterable[str] | None = None,
        key: str | None = None,
        *,
        ttl: timedelta | float | None = None,
        merge: MergeLike = "keys",
        min_durability: Durability | str | None = None,
        timeout: float | None = None,
    ) -> AsyncState:
        """The state of a workflow, as of `scope.state`, in a namespace that is given beside its key.

        `client.state(["support-bot", "user-42"], "checkout")` is
        `client.scope("support-bot", "user-42").state("checkout")`; with a key alone it lies in the
        namespace without labels.
        """
        if key is None and isinstance(namespace, str):
            namespace, key = None, namespace
        labels = labels_of(() if namespace is None else namespace, "namespace")
        return AsyncScope(self._connection, labels).state(
            key or "", ttl=ttl, merge=merge, min_durability=min_durability, timeout=timeout
        )

    async def status(self, *, timeout: float | None = None) -> Status:
        """How the gateway and each of its routes fare now.

        A store that is down is said in its route, and is no error of the call.

        Raises:
            MemplaneError: The gateway itself did not answer.
        """
        return _admin_replies.status(
            await self._connection.call(
                ADMIN_SERVICE + "GetStatus",
                admin_service_pb2.GetStatusRequest(),
                admin_service_pb2.GetStatusResponse,
                timeout,
            )
        )

    async def capabilities(self, *, timeout: float | None = None) -> Capabilities:
        """What each route can do, and the limits of the contract. No store is asked.

        Raises:
            MemplaneError: The gateway did not answer.
        """
        return _admin_replies.capabilities(
            await self._connection.call(
                ADMIN_SERVICE + "GetCapabilities",
                admin_service_pb2.GetCapabilitiesRequest(),
                admin_service_pb2.GetCapabilitiesResponse,
                timeout,
            )
        )

    async def list_outbox(
        self,
        kind: Kind | str | None = None,
        *,
        dead: bool = False,
        limit: int | None = None,
        timeout: float | None = None,
    ) -> tuple[OutboxEntry, ...]:
        """The writes of all tenants that wait for a store that is down, and the dead letters.

        Args:
            kind: Only of this kind. None means all.
            dead: Only dead letters: writes that the store refused when it was back.
            limit: How many at most. None means all.
            timeout: Seconds for each call; a call brings up to 1,000.

        Raises:
            InvalidArgument: The limit is negative.
            MemplaneError: The gateway did not answer.
        """
        if limit is not None and _values.whole(limit, "limit") < 0:
            raise InvalidArgument.at("limit", f"must not be negative, but is {limit}")
        request = admin_service_pb2.ListOutboxEntriesRequest(dead=_values.flag(dead, "dead"))
        if kind is not None:
            request.kind = to_wire(Kind, kind, "kind")
        entries: list[OutboxEntry] = []
        while limit is None or len(entries) < limit:
            request.page_size = min(1000, 1000 if limit is None else limit - len(entries))
            response = await self._connection.call(
                ADMIN_SERVICE + "ListOutboxEntries",
                request,
                admin_service_pb2.ListOutboxEntriesResponse,
                timeout,
            )
            entries.extend(map(_admin_replies.outbox_entry, response.entries))
            request.page_token = response.next_page_token
            if not request.page_token:
                break
        return tuple(entries)

    async def retry_outbox(
        self, ids: Iterable[str], *, timeout: float | None = None
    ) -> tuple[OutboxResult, ...]:
        """Has dead letters (1 to 1,000) wait for their store again, as if they were written now.

        Raises:
            MemplaneError: The call failed; what became of each entry stands in its result.
        """
        request = admin_service_pb2.RetryOutboxEntriesRequest(ids=_requests.entry_ids(ids))
        response = await self._connection.call(
            ADMIN_SERVICE + "RetryOutboxEntries",
            request,
            admin_service_pb2.RetryOutboxEntriesResponse,
            timeout,
        )
        return _admin_replies.outbox_results(response.results, len(request.ids))

    async def drop_outbox(
        self, ids: Iterable[str], *, timeout: float | None = None
    ) -> tuple[OutboxResult, ...]:
        """Forgets dead letters (1 to 1,000), which are lost then.

        Raises:
            MemplaneError: The call failed; what became of each entry stands in its result.
        """
        request = admin_service_pb2.DropOutboxEntriesRequest(ids=_requests.entry_ids(ids))
        response = await self._connection.call(
            ADMIN_SERVICE + "DropOutboxEntries",
            request,
            admin_service_pb2.DropOutboxEntriesResponse,
            timeout,
        )
        return _admin_replies.outbox_results(response.results, len(request.ids))

    async def sweep(
        self,
        *,
        dry_run: bool = False,
        on_progress: Callable[[SweepResult], None] | None = None,
        timeout: float | None = None,
    ) -> SweepResult:
        """Deletes now what the gateway would delete in the background, of the whole tenant.

        That is what has expired, and what the retention policies of its configuration do not keep.
        It goes in slices, each a call; when one fails, what the others deleted is gone.

        Args:
            dry_run: Only say what would be deleted, with up to 100 examples.
            on_progress: Is called after each slice with what it did.
            timeout: Seconds of each call; None means the client's.

        Raises:
            Aborted: Another gateway that shares the control store sweeps now.
            Unavailable: The control store is down. A store that is down is said in `failures`.
            MemplaneError: A call failed.
        """
        request = sweep_pb2.SweepMemoriesRequest(dry_run=_values.flag(dry_run, "dry_run"))
        done: list[sweep_pb2.SweepMemoriesResponse] = []
        while not done or request.page_token:
            response = await self._connection.call(
                LIFECYCLE_SERVICE + "SweepMemories",
                request,
                sweep_pb2.SweepMemoriesResponse,
                timeout,
            )
            done.append(response)
            request.page_token = response.next_page_token
            if on_progress is not None:
                on_progress(_admin_replies.swept([response], dry_run=dry_run))
        return _admin_replies.swept(done, dry_run=dry_run)

    async def health(self, service: str = "", *, timeout: float | None = None) -> Health:
        """What the standard health service says; for one service of the gateway if it is named.

        Raises:
            NotFound: There is no service of that name.
            MemplaneError: The gateway did not answer.
        """
        response = await self._connection.call(
            _health.METHOD,
            _health.request(_values.text(service, "service")),
            _health.messages()[1],
            timeout,
        )
        return _health.health(response)

    async def close(self) -> None:
        """Closes the connection; also of all scopes. Calls after it fail; closing again is fine.

        Entering the client once more (`async with`) opens it again.
        """
        await self._connection.close()

    async def __aenter__(self) -> Self:
        self._connection.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
