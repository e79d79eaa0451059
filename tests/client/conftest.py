"""A tiny gateway: the generated services over a dictionary, with faults to order; and a real one."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.process import Gateway, room

from memplane.v1 import admin_service_pb2 as admin
from memplane.v1 import (
    admin_service_pb2_grpc,
    consolidate_pb2,
    durability_pb2,
    error_reason_pb2,
    forget_pb2,
    lifecycle_service_pb2_grpc,
    memory_pb2,
    memory_service_pb2_grpc,
    namespace_pb2,
    purge_pb2,
    scan_pb2,
    search_pb2,
    statistics_pb2,
    sweep_pb2,
)
from memplane.v1 import memory_service_pb2 as service


def rich_status(
    code: int, reason: str, *, metadata: dict[str, str] | None = None, details: tuple[Any, ...] = ()
) -> bytes:
    """A google.rpc.Status as the gateway sends it."""
    status = status_pb2.Status(code=code, message=f"a sentence about {reason}")
    info = error_details_pb2.ErrorInfo(
        reason=reason, domain="memplane.dev", metadata=metadata or {}
    )
    for detail in (info, *details):
        status.details.add().Pack(detail)
    return status.SerializeToString()


def _abort(code: grpc.StatusCode, context: grpc.ServicerContext) -> None:
    context.abort(code, "as ordered")


@dataclass
class FakeGateway:
    """What the services share: the memories, the calls so far, and the faults to come."""

    target: str = ""
    memories: dict[bytes, memory_pb2.Memory] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    headers: list[dict[str, str | bytes]] = field(default_factory=list)
    faults: list[Callable[[grpc.ServicerContext], None]] = field(default_factory=list)
    delay: float = 0.0
    lost_acks: int = 0
    """How many batches of an ingest are written and then not answered."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arrive(self, request: Any, context: grpc.ServicerContext) -> None:
        with self.lock:
            self.requests.append(request)
            self.headers.append(dict(context.invocation_metadata()))
            fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            fault(context)
        if self.delay:
            time.sleep(self.delay)

    def fail(self, *codes: grpc.StatusCode) -> None:
        """Answers the next calls with bare codes."""
        for code in codes:
            self.faults.append(functools.partial(_abort, code))

    def fail_richly(self, code: grpc.StatusCode, status: bytes) -> None:
        """Answers the next call with a code and a rich status."""

        def fault(context: grpc.ServicerContext) -> None:
            context.set_trailing_metadata((("grpc-status-details-bin", status),))
            context.abort(code, "bare")

        self.faults.append(fault)


def _key(ref: memory_pb2.MemoryRef) -> bytes:
    return ref.SerializeToString(deterministic=True)


class Memories(memory_service_pb2_grpc.MemoryServiceServicer):
    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway

    def _written(
        self, ref: memory_pb2.MemoryRef, outcome: service.WriteOutcome.ValueType
    ) -> service.WriteResult:
        return service.WriteResult(
            ref=ref,
            outcome=outcome,
            etag="e1",
            revision=1,
            durability=durability_pb2.DURABILITY_DISK,
            visible=True,
        )

    def PutMemories(self, request: service.PutMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        results = []
        for put in request.puts:
            key = _key(put.memory.ref)
            if put.precondition.if_absent and key in self.gateway.memories:
                error = service.ItemError(
                    code=code_pb2.ALREADY_EXISTS,
                    reason=error_reason_pb2.ERROR_REASON_MEMORY_EXISTS,
                    message="it is there",
                    metadata={"etag": "e1"},
                )
                results.append(service.WriteResult(ref=put.memory.ref, error=error))
                continue
            there = key in self.gateway.memories
            self.gateway.memories[key] = put.memory
            outcome = service.WRITE_OUTCOME_UPDATED if there else service.WRITE_OUTCOME_CREATED
            results.append(self._written(put.memory.ref, outcome))
        return service.PutMemoriesResponse(results=results)

    def GetMemories(self, request: service.GetMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        found = [
            service.GetResult(ref=ref, memory=self.gateway.memories.get(_key(ref)))
            for ref in request.refs
        ]
        return service.GetMemoriesResponse(results=found)

    def UpdateMemories(self, request: service.UpdateMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        results = []
        for update in request.updates:
            memory = self.gateway.memories[_key(update.ref)]
            if update.HasField("text"):
                memory.text = update.text
            results.append(self._written(update.ref, service.WRITE_OUTCOME_UPDATED))
        return service.UpdateMemoriesResponse(results=results)

    def DeleteMemories(self, request: service.DeleteMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        results = []
        for delete in request.deletes:
            gone = self.gateway.memories.pop(_key(delete.ref), None)
            outcome = service.WRITE_OUTCOME_DELETED if gone else service.WRITE_OUTCOME_MISSING
            results.append(service.WriteResult(ref=delete.ref, outcome=outcome))
        return service.DeleteMemoriesResponse(results=results)

    def _below(self, kind: int, namespace: Any) -> list[memory_pb2.Memory]:
        labels = list(namespace)
        return [
            memory
            for memory in self.gateway.memories.values()
            if memory.ref.kind == kind and list(memory.ref.namespace)[: len(labels)] == labels
        ]

    def SearchMemories(self, request: service.SearchMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        results = [
            search_pb2.SearchResult(
                hits=[
                    search_pb2.SearchHit(memory=memory, relevance=0.75, score=0.5)
                    for memory in self._below(query.kind, query.namespace)[: query.page_size or 50]
                ],
                mode=search_pb2.SEARCH_MODE_RECENT
                if query.mode == search_pb2.SEARCH_MODE_RECENT
                else search_pb2.SEARCH_MODE_KEYWORD,
                notice="words only",
            )
            for query in request.queries
        ]
        return service.SearchMemoriesResponse(results=results)

    def ListMemories(self, request: service.ListMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        found = sorted(self._below(request.kind, request.namespace), key=lambda m: m.ref.key)
        start, size = int(request.page_token or 0), request.page_size or 50
        more = str(start + size) if start + size < len(found) else ""
        return service.ListMemoriesResponse(
            memories=found[start : start + size], next_page_token=more
        )

    def CountMemories(self, request: service.CountMemoriesRequest, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        response = service.CountMemoriesResponse(
            count=len(self._below(request.kind, request.namespace))
        )
        if request.HasField("filter"):
            response.filter.truncated = True
        return response

    def PurgeMemories(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One memory a call."""
        self.gateway.arrive(request, context)
        found = self._below(request.kind, request.namespace)
        if request.dry_run:
            return purge_pb2.PurgeMemoriesResponse(count=len(found))
        for memory in found[:1]:
            del self.gateway.memories[_key(memory.ref)]
        response = purge_pb2.PurgeMemoriesResponse(
            count=len(found[:1]),
            next_page_token="more" if len(found) > 1 else "",
            durability=durability_pb2.DURABILITY_DISK,
        )
        response.filter.scanned = 2
        return response

    def ListNamespaces(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One on each of two pages."""
        self.gateway.arrive(request, context)
        labels = ["b"] if request.page_token else ["a"]
        return namespace_pb2.ListNamespacesResponse(
            namespaces=[namespace_pb2.Namespace(labels=labels)],
            next_page_token="" if request.page_token else "more",
            incomplete=True,
        )

    def GetStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Figures of one kind, and of one that is of a newer gateway."""
        self.gateway.arrive(request, context)
        response = statistics_pb2.GetStatisticsResponse()
        figures = response.kinds.add(kind=memory_pb2.KIND_SEMANTIC, count=2, importance_count=1)
        figures.mean_importance = 0.5
        figures.oldest.seconds = 1
        response.kinds.add(kind=99, count=7)
        return response

    def IngestMemories(self, requests: Any, context: Any) -> Any:  # noqa: N802
        """Writes each batch; answers those that earlier streams brought as replayed."""
        for message in requests:
            self.gateway.arrive(message, context)
            if message.HasField("opening"):
                yield service.IngestMemoriesResponse(opened=service.IngestOpened())
                continue
            batch = message.batch
            ack = service.IngestAck(sequence=batch.sequence)
            for index, put in enumerate(batch.puts):
                memory = memory_pb2.Memory.FromString(put.memory.SerializeToString())
                memory.ref.key = memory.ref.key or f"{batch.sequence}-{index}"
                key = _key(memory.ref)
                result = self._written(memory.ref, service.WRITE_OUTCOME_CREATED)
                result.replayed = key in self.gateway.memories
                self.gateway.memories[key] = memory
                ack.results.append(result)
            if self.gateway.lost_acks:
                self.gateway.lost_acks -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
            yield service.IngestMemoriesResponse(ack=ack)

    def ScanMemories(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Chunks of one memory; a fault comes before each."""
        found = sorted(self._below(request.kind, request.namespace), key=lambda m: m.ref.key)
        for index in range(int(request.page_token or 0), len(found)):
            self.gateway.arrive(request, context)
            yield scan_pb2.ScanMemoriesResponse(
                memories=[found[index]],
                next_page_token=str(index + 1) if index + 1 < len(found) else "",
            )


class Lifecycle(lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway

    def ForgetMemories(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One memory on each of two calls."""
        self.gateway.arrive(request, context)
        response = forget_pb2.ForgetMemoriesResponse(
            count=1,
            next_page_token="" if request.page_token else "more",
            durability=durability_pb2.DURABILITY_DISK,
        )
        memory = response.memories.add(importance=0.25)
        memory.ref.kind = request.kind
        memory.ref.key = "second" if request.page_token else "first"
        memory.age.seconds = 90
        response.filter.scanned = 3
        return response

    def ConsolidateMemories(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A group on each of two calls."""
        self.gateway.arrive(request, context)
        response = consolidate_pb2.ConsolidateMemoriesResponse(
            merged_count=2,
            conflicts=1,
            compared=5,
            next_page_token="" if request.page_token else "more",
            replayed=not request.page_token,
        )
        group = response.groups.add(merged_count=2)
        group.kept.kind = request.kind
        group.kept.key = "kept"
        merged = group.merged.add(similarity=0.975)
        merged.ref.kind = request.kind
        merged.ref.key = "merged"
        return response

    def SweepMemories(self, request: Any, context: Any) -> Any:  # noqa: N802
        """One memory on each of two calls, and a kind left out on the second."""
        self.gateway.arrive(request, context)
        response = sweep_pb2.SweepMemoriesResponse()
        rule = sweep_pb2.SweepRule(
            kind=memory_pb2.KIND_EPISODIC,
            cause=sweep_pb2.SWEEP_CAUSE_MAX_ITEMS,
            namespace=["chat", "*"],
        )
        response.counts.add(rule=rule, count=1)
        response.counts.add(count=7).rule.kind = 99  # type: ignore[assignment]
        if request.dry_run:
            example = response.examples.add(rule=rule)
            example.ref.kind = memory_pb2.KIND_EPISODIC
            example.ref.key = "second" if request.page_token else "first"
        if request.page_token:
            failure = response.failures.add(kind=memory_pb2.KIND_SEMANTIC)
            failure.error.code = code_pb2.UNAVAILABLE
            failure.error.reason = error_reason_pb2.ERROR_REASON_BACKEND_UNAVAILABLE
        else:
            response.next_page_token = "more"
        return response


class Admin(admin_service_pb2_grpc.AdminServiceServicer):
    def __init__(self, gateway: FakeGateway) -> None:
        self.gateway = gateway

    def GetCapabilities(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        response = admin.GetCapabilitiesResponse(limits={"batch_items": 1000})
        route = response.routes.add(kind=memory_pb2.KIND_SEMANTIC, store="main", adapter="embedded")
        route.capabilities.vector = True
        route.capabilities.durability.append(durability_pb2.DURABILITY_DISK)
        response.routes.add(kind=99, store="of a newer gateway")
        return response

    def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        response = admin.GetStatusResponse(version="0.1.0", notices=["words, not meaning"])
        response.routes.add(
            kind=memory_pb2.KIND_SEMANTIC,
            state=admin.ROUTE_STATE_NOT_SERVING,
            error=error_reason_pb2.ERROR_REASON_BACKEND_UNAVAILABLE,
            rows=-1,
            size_bytes=5,
            ping_us=1500,
        ).renewals.failed = 2
        response.sweeper.on = True
        response.sweeper.interval_us = 1_500_000
        response.sweeper.last.start_time.seconds = 10
        response.sweeper.last.counts.add(
            rule=sweep_pb2.SweepRule(
                kind=memory_pb2.KIND_SEMANTIC, cause=sweep_pb2.SWEEP_CAUSE_EXPIRED
            ),
            count=3,
        )
        return response

    def ListOutboxEntries(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Three entries, two on the first page."""
        self.gateway.arrive(request, context)
        response = admin.ListOutboxEntriesResponse()
        if request.page_token:
            entry = response.entries.add(id="semantic-3", size_bytes=9)
            entry.error.code = 15
            entry.error.message = "damaged"
            return response
        for number in (1, 2):
            entry = response.entries.add(
                id=f"semantic-{number}", tenant="default", operation=admin.OUTBOX_OPERATION_PUT
            )
            entry.ref.kind = memory_pb2.KIND_SEMANTIC
            entry.ref.key = str(number)
        response.next_page_token = "semantic-2"
        return response

    def RetryOutboxEntries(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        return admin.RetryOutboxEntriesResponse(results=_refused(request.ids))

    def DropOutboxEntries(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.gateway.arrive(request, context)
        return admin.DropOutboxEntriesResponse(results=_refused(request.ids))


def _refused(ids: Any) -> list[Any]:
    """The first is done, the others are not there."""
    results = [admin.OutboxResult(id=each) for each in ids]
    for result in results[1:]:
        result.error.code = 5
        result.error.message = "no such entry"
    return results


def health(gateway: FakeGateway) -> grpc.GenericRpcHandler:
    """The standard health service, in raw bytes: status SERVING."""

    def check(request: bytes, context: Any) -> bytes:
        gateway.arrive(request, context)
        return b"\x08\x01"

    method: Any = grpc.unary_unary_rpc_method_handler(check)
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    """A running gateway."""
    fake = FakeGateway()
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
    memory_service_pb2_grpc.add_MemoryServiceServicer_to_server(Memories(fake), server)
    lifecycle_service_pb2_grpc.add_LifecycleServiceServicer_to_server(Lifecycle(fake), server)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(Admin(fake), server)
    server.add_generic_rpc_handlers((health(fake),))
    fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    server.stop(None).wait()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of a real gateway with the embedded store."""
    with room() as place, Gateway(place) as real:
        yield real.address
