"""The calls that stream: bring many memories in, and get all of them out."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from memplane import _ingests, _replies, _requests, _values
from memplane._async.connection import MEMORY_SERVICE, AsyncBase, AsyncConnection
from memplane._async.transport import AsyncStream
from memplane._enums import Durability, Kind, to_wire
from memplane._errors import InvalidArgument, MemplaneError, Unavailable
from memplane._filter_dicts import FilterLike, filter_message
from memplane._inputs import Put
from memplane._models import FilterReport, Memory
from memplane._waiting import END, AsyncItems, AsyncSource, AsyncWaiting
from memplane.v1 import memory_service_pb2 as pb
from memplane.v1 import scan_pb2

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncStreaming(AsyncBase):
    """Brings many memories in, and gets all of them out."""

    async def ingest(
        self,
        puts: AsyncSource[Put | Memory],
        *,
        ingest_id: str | None = None,
        batch_items: int = 200,
        after: int = 0,
        on_ack: Callable[[_ingests.IngestAck], Any] | None = None,
        min_durability: Durability | str | None = None,
        timeout: float | None = None,
    ) -> _ingests.IngestResult:
        """Writes any number of memories, batch by batch over one stream.

        They are taken from `puts` as there is room for them: a few batches are in memory at a time. A
        stream that breaks off is resumed, without a gap or a duplicate. An item that the gateway
        refuses is counted in the result and does not end the ingest.

        Args:
            puts: The memories, as in `put_many`; a generator will do.
            ingest_id: Names the ingest, at most 100 bytes; minted when not given. With the same id
                and the same memories in the same batches, an ingest that broke off can be taken up
                again, even by another process: what had been written is found to be there, and keys
                that are left empty are derived from it.
            batch_items: How many memories a batch has at most, 1 to 1,000.
            after: The sequence of the last batch whose answer was seen (`IngestAck.sequence`), when an
                ingest is taken up again: the batches up to it are not sent.
            on_ack: Is called with the answer to each batch.
            min_durability: Refuse with FailedPrecondition when the route reaches less.
            timeout: Seconds for the whole ingest. None means no limit.

        Raises:
            InvalidArgument: One of the memories is none; those before it may be written.
            AlreadyExists: A batch under this ingest_id was another one within the last 24 hours.
            MemplaneError: The ingest failed for good; a note says how far it came.
        """
        if on_ack is not None and not callable(on_ack):
            raise InvalidArgument.at("on_ack", f"must be a function, not {on_ack!r:.64}")
        ingest = _ingests.Ingest(ingest_id, min_durability, after)
        batcher = _ingests.Batcher(batch_items)
        items = AsyncItems(puts)
        clock = _Clock(timeout)
        stream: AsyncStream[pb.IngestMemoriesResponse] | None = None
        try:
            while True:
                # What the caller's own code raises, here and in `on_ack`, is no failure of the stream.
                while ingest.has_room and (batch := await _next_batch(items, batcher, ingest)):
                    ingest.take(batch)
                try:
                    if stream is None:
                        stream = self._ingest_stream(clock)
                        await stream.send(ingest.opening)
                        ingest.opened(await stream.receive())
                    for due in ingest.due():
                        await stream.send(due.request)
                    if not ingest.waits:
                        await stream.end()
                        await stream.receive()
                        return ingest.result()
                    ack = ingest.answered(await stream.receive())
                except MemplaneError as error:
                    if stream is not None:
                        stream.cancel()
                    stream = None
                    await AsyncWaiting.pause(ingest.pause(error, clock.left()))
                    continue
                if on_ack is not None:
                    await AsyncWaiting.answer(on_ack(ack), "on_ack")
        finally:
            if stream is not None:
                stream.cancel()

    def _ingest_stream(self, clock: _Clock) -> AsyncStream[pb.IngestMemoriesResponse]:
        return self._connection.stream(
            MEMORY_SERVICE + "IngestMemories", pb.IngestMemoriesResponse, clock.left()
        )

    def scan(
        self,
        kind: Kind | str = Kind.SEMANTIC,
        *,
        filter: FilterLike | None = None,
        exact_namespace: bool = False,
        with_vectors: bool = False,
        page_token: str = "",
        page_size: int = 0,
        timeout: float | None = None,
    ) -> AsyncMemoryScan:
        """Gets all memories of one kind below the namespace that is bound here, over one stream.

        It makes no call itself: iterate over what it returns with `async for`. A memory that stays
        unchanged meanwhile comes exactly once, by namespace and key; a stream that breaks off is
        resumed.

        Args:
            kind: Which kind.
            filter: Which memories.
            exact_namespace: Only this very namespace, not those below it.
            with_vectors: Whether the memories come with their vectors.
            page_token: The `next_page_token` of an earlier scan, with all else unchanged.
            page_size: How many a chunk, 1 to 1,000. 0 means 1,000.
            timeout: Seconds for the whole scan. None means no limit.
        """
        request = scan_pb2.ScanMemoriesRequest(
            kind=to_wire(Kind, kind, "kind"),
            namespace=self._namespace,
            exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
            filter=filter_message(filter, "filter"),
            view=_requests.view(with_vectors),
            page_token=_values.text(page_token, "page_token"),
            page_size=_values.whole(page_size, "page_size"),
        )
        return AsyncMemoryScan(self._connection, request, timeout)


class AsyncMemoryScan:
    """All memories of a scan; iterate over it, once."""

    def __init__(
        self,
        connection: AsyncConnection,
        request: scan_pb2.ScanMemoriesRequest,
        timeout: float | None,
    ) -> None:
        self.filter: FilterReport | None = None
        """How the filter was evaluated for the last chunk. None without a filter."""
        self.incomplete = False
        """As in SearchResult, of all chunks so far."""
        self._connection = connection
        self._request = request
        self._timeout = timeout

    @property
    def next_page_token(self) -> str:
        """Where another scan goes on so that it misses nothing; it may bring some once more.

        For 24 hours. Empty before the first chunk is through, and after the last one.
        """
        return self._request.page_token

    async def __aiter__(self) -> AsyncIterator[Memory]:
        clock = _Clock(self._timeout)
        last = False
        tries = _ingests.Tries()
        while not last:
            stream = self._connection.stream(
                MEMORY_SERVICE + "ScanMemories", scan_pb2.ScanMemoriesResponse, clock.left()
            )
            try:
                await stream.send(self._request)
                await stream.end()
                while not last:
                    chunk = await self._chunk(stream)
                    tries.begin_anew()
                    for message in chunk.memories:
                        yield _replies.memory(message)
                    self._request.page_token = chunk.next_page_token
                    last = not chunk.next_page_token
            except MemplaneError as error:
                await AsyncWaiting.pause(tries.pause(error, clock.left()))
            finally:
                stream.cancel()

    async def _chunk(
        self, stream: AsyncStream[scan_pb2.ScanMemoriesResponse]
    ) -> scan_pb2.ScanMemoriesResponse:
        chunk = await stream.receive()
        if chunk is None:
            raise Unavailable("the gateway ended the scan before its end", reason="STREAM_CUT")
        self.incomplete = self.incomplete or chunk.incomplete
        self.filter = _replies.filter_report(chunk.filter) if chunk.HasField("filter") else None
        return chunk


class _Clock:
    """The time that several streams share."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds for the next stream; None: no limit."""
        if self._end is None or self._seconds is None or self._seconds <= 0:
            return self._seconds  # which is refused where it is none
        return max(0.001, self._end - time.monotonic())


async def _next_batch(
    items: AsyncItems[Put | Memory], batcher: _ingests.Batcher, ingest: _ingests.Ingest
) -> _ingests.Batch | None:
    """The next batch; None when there is none. Raises what the source does, and InvalidArgument."""
    while True:
        given = await items.next()
        if given is END:
            return batcher.rest()
        try:
            batch = batcher.add(given)
        except InvalidArgument as error:
            raise ingest.noted(error) from None
        if batch:
            return batch
