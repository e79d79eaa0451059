"""Requests as tests want them, short to write."""

from __future__ import annotations

from collections.abc import Iterable

from memplane.v1 import memory_pb2, memory_service_pb2_grpc
from memplane.v1 import memory_service_pb2 as svc

SEMANTIC = memory_pb2.KIND_SEMANTIC
EPISODIC = memory_pb2.KIND_EPISODIC
PROCEDURAL = memory_pb2.KIND_PROCEDURAL

Stub = memory_service_pb2_grpc.MemoryServiceStub


def ref(
    key: str, kind: memory_pb2.Kind.ValueType = SEMANTIC, namespace: Iterable[str] = ("faults",)
) -> memory_pb2.MemoryRef:
    """A ref."""
    return memory_pb2.MemoryRef(kind=kind, namespace=namespace, key=key)


def put(
    *keys: str,
    kind: memory_pb2.Kind.ValueType = SEMANTIC,
    text: str = "",
    payload: bytes = b"",
    request_id: str = "",
) -> svc.PutMemoriesRequest:
    """A put of memories under these keys."""
    request = svc.PutMemoriesRequest(request_id=request_id)
    for key in keys:
        memory = request.puts.add().memory
        memory.ref.CopyFrom(ref(key, kind))
        memory.attributes["key"].string_value = key
        if kind != PROCEDURAL:
            memory.text = text or f"{key} everywhere"
        if payload:
            memory.value.bytes_value = payload
    return request


def get(*keys: str, kind: memory_pb2.Kind.ValueType = SEMANTIC) -> svc.GetMemoriesRequest:
    """A read of these keys."""
    return svc.GetMemoriesRequest(refs=[ref(key, kind) for key in keys])


def keys_there(stub: Stub, kind: memory_pb2.Kind.ValueType = SEMANTIC) -> set[str]:
    """The keys of all memories of a kind."""
    keys: set[str] = set()
    request = svc.ListMemoriesRequest(kind=kind, page_size=1000)
    while True:
        page = stub.ListMemories(request, timeout=20)
        keys.update(memory.ref.key for memory in page.memories)
        if not page.next_page_token:
            return keys
        request.page_token = page.next_page_token
