"""A good request for each rpc, full of fields, for hostile ones to be made from."""

from __future__ import annotations

import struct

from google.protobuf.message import Message
from tests.faults import messages
from tests.faults.hostile import DIMENSION

from memplane.v1 import (
    admin_service_pb2,
    consolidate_pb2,
    durability_pb2,
    filter_pb2,
    forget_pb2,
    memory_pb2,
    namespace_pb2,
    purge_pb2,
    scan_pb2,
    search_pb2,
    statistics_pb2,
    sweep_pb2,
    value_pb2,
)
from memplane.v1 import memory_service_pb2 as svc

VECTOR = struct.pack("<f", 0.5) * DIMENSION


def full_value() -> value_pb2.Value:
    """A value of all types."""
    value = value_pb2.Value()
    items = value.map_value.entries["list"].list_value.values
    items.add().int_value = 2**53 + 1
    items.add().double_value = 0.5
    items.add().string_value = "text"
    items.add().bool_value = True
    items.add().bytes_value = b"bytes"
    items.add().null_value = value_pb2.NULL_VALUE_UNSPECIFIED
    items.add().timestamp_value.seconds = 1
    return value


def full_memory(kind: memory_pb2.Kind.ValueType, key: str) -> memory_pb2.Memory:
    """A memory with all that it may have."""
    memory = memory_pb2.Memory(importance=0.5, pinned=True)
    memory.ref.CopyFrom(messages.ref(key, kind, ("a", "b")))
    memory.attributes["n"].int_value = 1
    memory.attributes["tags"].list_value.values.add().string_value = "x"
    memory.attributes["deep"].CopyFrom(full_value())
    memory.value.CopyFrom(full_value())
    if kind != messages.PROCEDURAL:
        memory.text = "Prefers tea in the morning"
        memory.vector = VECTOR
        memory.indexed_texts.add(path="title", text="Tea")
    if kind == messages.EPISODIC:
        memory.episode.type = memory_pb2.EPISODE_TYPE_ACTION
        memory.episode.event_time.seconds = 1_700_000_000
        memory.episode.session_id = "session"
        memory.episode.agent_id = "agent"
        memory.episode.actor = "actor"
        memory.episode.input.CopyFrom(full_value())
        memory.episode.output.CopyFrom(full_value())
    return memory


def full_filter() -> filter_pb2.Filter:
    """A filter with all nodes."""
    tree = filter_pb2.Filter()
    first = tree.all.filters.add().condition
    first.path.append("n")
    first.op = filter_pb2.OP_GTE
    first.operand.int_value = 1
    either = tree.all.filters.add().any.filters.add().negation.condition
    either.path.extend(["deep", "list"])
    either.op = filter_pb2.OP_CONTAINS
    either.operand.string_value = "x"
    return tree


def condition(op: filter_pb2.Op.ValueType, *path: str) -> filter_pb2.Filter:
    """A filter of one condition with a list as operand."""
    tree = filter_pb2.Filter()
    tree.condition.path.extend(path)
    tree.condition.op = op
    tree.condition.operand.list_value.values.add().string_value = "x"
    return tree


def _forget() -> forget_pb2.ForgetMemoriesRequest:
    forget = forget_pb2.ForgetMemoriesRequest(
        kind=messages.SEMANTIC,
        namespace=["a"],
        filter=full_filter(),
        importance_below=0.5,
        request_id="request",
    )
    forget.older_than.seconds = 3600
    forget.inactive_for.seconds = 60
    forget.half_life.seconds = 86_400
    return forget


def requests() -> dict[str, list[Message]]:
    """Good requests by rpc, one a kind where kinds differ."""
    kinds = (messages.EPISODIC, messages.SEMANTIC, messages.PROCEDURAL)
    puts: list[Message] = []
    updates: list[Message] = []
    lists: list[Message] = []
    for kind in kinds:
        put = svc.PutMemoriesRequest(
            request_id="request", min_durability=durability_pb2.DURABILITY_PROCESS
        )
        one = put.puts.add(memory=full_memory(kind, "put"))
        one.expiry.ttl.seconds = 3600
        puts.append(put)
        update = svc.UpdateMemoriesRequest(request_id="request")
        change = update.updates.add(remove_attributes=["gone"], pinned=False, importance=0.25)
        change.ref.CopyFrom(messages.ref("update", kind, ("a", "b")))
        change.attributes["n"].CopyFrom(full_value())
        change.value.CopyFrom(full_value())
        change.expiry.ttl.seconds = 3600
        change.precondition.if_present = True
        if kind != messages.PROCEDURAL:
            change.text = "Prefers coffee now"
            change.indexed_texts.texts.add(path="title", text="Coffee")
        updates.append(update)
        lists.append(
            svc.ListMemoriesRequest(
                kind=kind,
                namespace=["a"],
                filter=full_filter(),
                order=svc.LIST_ORDER_UPDATE_TIME,
                page_size=2,
            )
        )
    search = svc.SearchMemoriesRequest()
    query = search.queries.add(
        kind=messages.SEMANTIC,
        namespace=["a"],
        text="tea",
        mode=search_pb2.SEARCH_MODE_KEYWORD,
        filter=full_filter(),
        min_relevance=0.0,
        page_size=3,
    )
    query.time_from.seconds = 1
    query.time_to.seconds = 4_000_000_000
    by_vector = svc.SearchMemoriesRequest()
    by_vector.queries.add(
        kind=messages.EPISODIC, vector=VECTOR, mode=search_pb2.SEARCH_MODE_VECTOR, exact=True
    )
    recent = svc.SearchMemoriesRequest()
    recent.queries.add(kind=messages.PROCEDURAL, mode=search_pb2.SEARCH_MODE_RECENT)
    hybrid = svc.SearchMemoriesRequest()
    query = hybrid.queries.add(
        kind=messages.SEMANTIC,
        text="tea",
        mode=search_pb2.SEARCH_MODE_HYBRID,
        vector_share=0.5,
        recency_weight=0.5,
        importance_weight=0.5,
        diversity=0.5,
        explain=True,
    )
    query.recency_half_life.seconds = 3600
    delete = svc.DeleteMemoriesRequest(request_id="request")
    delete.deletes.add(ref=messages.ref("delete")).precondition.if_match = "etag"
    opening = svc.IngestOpening(
        ingest_id="ingest", min_durability=durability_pb2.DURABILITY_PROCESS
    )
    return {
        "PutMemories": puts,
        "IngestMemories": [svc.IngestMemoriesRequest(opening=opening)],
        "ScanMemories": [
            scan_pb2.ScanMemoriesRequest(
                kind=messages.SEMANTIC, namespace=["a"], filter=full_filter(), page_size=2
            )
        ],
        "UpdateMemories": updates,
        "ListMemories": lists,
        "SearchMemories": [search, by_vector, recent, hybrid],
        "GetMemories": [svc.GetMemoriesRequest(refs=[messages.ref("put")])],
        "DeleteMemories": [delete],
        "CountMemories": [
            svc.CountMemoriesRequest(kind=messages.SEMANTIC, namespace=["a"], filter=full_filter())
        ],
        "PurgeMemories": [
            purge_pb2.PurgeMemoriesRequest(
                kind=messages.SEMANTIC,
                namespace=["a"],
                filter=full_filter(),
                request_id="request",
            )
        ],
        "ForgetMemories": [_forget()],
        "ConsolidateMemories": [
            consolidate_pb2.ConsolidateMemoriesRequest(
                kind=messages.SEMANTIC,
                namespace=["a"],
                filter=full_filter(),
                min_similarity=0.9,
                request_id="request",
            )
        ],
        "ListNamespaces": [
            namespace_pb2.ListNamespacesRequest(
                kind=messages.SEMANTIC,
                prefix=[namespace_pb2.LabelPattern(label="a")],
                suffix=[namespace_pb2.LabelPattern(any=True)],
                max_depth=2,
                page_size=2,
            )
        ],
        "GetStatistics": [
            statistics_pb2.GetStatisticsRequest(
                kinds=[messages.SEMANTIC], namespace=["a"], filter=full_filter()
            )
        ],
        "SweepMemories": [sweep_pb2.SweepMemoriesRequest(dry_run=True)],
        "GetCapabilities": [admin_service_pb2.GetCapabilitiesRequest()],
        "GetStatus": [admin_service_pb2.GetStatusRequest()],
        "ListOutboxEntries": [
            admin_service_pb2.ListOutboxEntriesRequest(
                kind=messages.SEMANTIC, dead=True, page_size=2
            )
        ],
        "RetryOutboxEntries": [admin_service_pb2.RetryOutboxEntriesRequest(ids=["semantic-1"])],
        "DropOutboxEntries": [admin_service_pb2.DropOutboxEntriesRequest(ids=["procedural-1"])],
    }
