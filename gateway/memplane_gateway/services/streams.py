"""MemoryService: ingest and scan, over streams."""

from __future__ import annotations

from dataclasses import replace

from memplane.v1 import memory_service_pb2 as pb
from memplane.v1 import scan_pb2
from memplane_adapters.contract import Address, Durability
from memplane_gateway import limits
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, invalid
from memplane_gateway.memory.calls.idempotency import Running
from memplane_gateway.memory.model import Caller, Operation, Put
from memplane_gateway.memory.questions import Listing
from memplane_gateway.pacing import paced
from memplane_gateway.routes import Route, Router
from memplane_gateway.services.calls import Translated, read_min_durability
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.services.writes import Writes, minted_key, with_body, write_result
from memplane_gateway.wire.memories import read_put
from memplane_gateway.wire.queries import read_scan, write_page
from memplane_gateway.wire.replies import write_item_error
from memplane_gateway.wire.rpc import Stream
from memplane_gateway.wire.violations import Violations

_PASSES = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)
_OF_THE_ROUTE = (Reason.BACKEND_MISCONFIGURED, Reason.IDENTITY_MISMATCH)


class Streams:
    """The rpcs IngestMemories and ScanMemories."""

    def __init__(
        self,
        router: Router,
        clock: Clock,
        writes: Writes,
        running: Running,
        consistency: Consistency,
    ) -> None:
        self._router = router
        self._clock = clock
        self._writes = writes
        self._running = running
        self._consistency = consistency

    async def ingest_memories(self, stream: Stream, caller: Caller) -> None:
        """Write batch after batch, each answered before the next is read."""
        messages = aiter(stream)
        opening, asked = _read_opening(await anext(messages, None))
        await stream.send(pb.IngestMemoriesResponse(opened=pb.IngestOpened()))
        previous: int | None = None
        async for message in messages:
            batch = _read_batch(message, previous)
            previous = batch.sequence
            request_id = f"{opening.ingest_id}/{batch.sequence}"
            async with stream.step():
                ack = await self._put(replace(caller, request_id=request_id), batch, asked)
            await stream.send(pb.IngestMemoriesResponse(ack=ack))

    async def scan_memories(self, stream: Stream, caller: Caller) -> None:
        """Send page after page of a walk."""
        request = await anext(aiter(stream), None) or scan_pb2.ScanMemoriesRequest()
        violations = Violations()
        listing = read_scan(request, violations)
        self._consistency.heed(request.consistency_token, caller, violations)
        violations.raise_if_any()
        route = self._router[listing.selection.kind]
        while True:
            async with stream.step():
                chunk = await self._chunk(route, caller, listing)
            listing = replace(listing, page_token=chunk.next_page_token)
            sending = stream.send(chunk)
            del chunk  # its bytes are enough while nobody takes them
            await sending
            if not listing.page_token:
                return

    async def _chunk(
        self, route: Route, caller: Caller, listing: Listing
    ) -> scan_pb2.ScanMemoriesResponse:
        with Translated(route):
            page = await route.memories.list(caller, listing)
        response = scan_pb2.ScanMemoriesResponse()
        await write_page(page, response, vectors=listing.vectors)
        return response

    async def _put(
        self, caller: Caller, batch: pb.IngestBatch, asked: Durability | None
    ) -> pb.IngestAck:
        """Put what is as it must be; what is not is refused by itself.

        Raises what failed one of them, when the batch is to be sent again.
        """
        puts, refused = await self._read_puts(caller, batch)
        caller = await with_body(caller, batch.puts)
        try:
            async with self._running.alone(caller, Operation.PUT):
                written, routes = await self._writes.by_route(
                    puts,
                    asked,
                    lambda route, part: route.memories.put(caller, part, spool=asked is None),
                )
        except MemplaneError as error:
            raise _in_words_of_ingests(error, batch) from error
        for each in written:
            if each.error is not None and _may_pass(each.error):
                raise each.error
        done = dict(
            zip((put.index for put in puts), zip(written, routes, strict=True), strict=True)
        )
        token = self._consistency.after(caller, (put.address.kind for put in puts))
        ack = pb.IngestAck(sequence=batch.sequence, consistency_token=token)
        for index, put in enumerate(batch.puts):
            result = ack.results.add()
            if index in done:
                write_result(*done[index], result)
            else:
                result.ref.CopyFrom(put.memory.ref)
                write_item_error(refused[index], result.error)
        return ack

    async def _read_puts(
        self, caller: Caller, batch: pb.IngestBatch
    ) -> tuple[list[Put], dict[int, MemplaneError]]:
        """The puts that are as they must be, and what is wrong with the others, by index."""
        puts: list[Put] = []
        refused: dict[int, MemplaneError] = {}
        first: dict[Address, int] = {}
        now = self._clock.now()
        async for index, item in paced(enumerate(batch.puts)):
            violations = Violations()
            at = f"puts[{index}]"
            key = "" if item.memory.ref.key else minted_key(caller, caller.request_id, index)
            put = read_put(
                item, caller.tenant, at, violations,
                minted=key, replayable=True, now=now, index=index,
            )  # fmt: skip
            self._writes.check_dimension(
                put.address.kind, put.vector, f"{at}.memory.vector", violations
            )
            self._writes.check_further(put, f"{at}.memory.indexed_texts", violations)
            self._writes.check_room(put, caller, f"{at}.memory", violations)
            other = first.setdefault(put.address, index)
            if other != index:
                violations.add(f"{at}.memory.ref", f"the same ref as puts[{other}]")
            if violations.noted:
                refused[index] = invalid(violations.noted, violations.reason)
                refused[index].metadata.update(violations.metadata)
            else:
                puts.append(put)
        return puts, refused


def _in_words_of_ingests(error: MemplaneError, batch: pb.IngestBatch) -> MemplaneError:
    """A caller of an ingest knows no request ids, which batches are put under."""
    if error.reason is not Reason.REQUEST_ID_REUSED:
        return error
    return MemplaneError(
        error.code,
        error.reason,
        f"batch {batch.sequence} of this ingest was another one before; ingest other memories, or "
        "the same in other batches, under another ingest_id",
        metadata=error.metadata,
    )


def _may_pass(error: MemplaneError) -> bool:
    """Whether an item was refused for reasons that are not its own: the batch is to be sent again."""
    return error.code in _PASSES or error.reason in _OF_THE_ROUTE or error.retry_after is not None


def _read_opening(
    message: pb.IngestMemoriesRequest | None,
) -> tuple[pb.IngestOpening, Durability | None]:
    violations = Violations()
    if message is None or not message.HasField("opening"):
        violations.add("opening", "the first message must be an opening")
        violations.raise_if_any()
    assert message is not None
    opening = message.opening
    if not opening.ingest_id:
        violations.add("opening.ingest_id", "is empty; name the ingest, for example by a UUID")
    violations.short(opening.ingest_id, "opening.ingest_id", limits.INGEST_ID_BYTES)
    asked = read_min_durability(opening.min_durability, violations)
    violations.raise_if_any()
    return opening, asked


def _read_batch(message: pb.IngestMemoriesRequest, previous: int | None) -> pb.IngestBatch:
    violations = Violations()
    batch = message.batch
    if not message.HasField("batch"):
        violations.add("batch", "each message after the opening must be a batch")
        violations.raise_if_any()
    if batch.sequence < 1:
        violations.add("batch.sequence", "is not 1 or more")
    elif previous is not None and batch.sequence != previous + 1:
        violations.add("batch.sequence", f"is {batch.sequence} after {previous}; count by one")
    violations.count(batch.puts, "batch.puts", 1, limits.BATCH_ITEMS)
    violations.raise_if_any()
    return batch
