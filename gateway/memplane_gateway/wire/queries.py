"""Searches, listings and counts: requests to domain values, answers to replies."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import TypeAlias, TypeVar

from memplane.v1 import (
    consolidate_pb2,
    filter_pb2,
    forget_pb2,
    memory_pb2,
    purge_pb2,
    scan_pb2,
    search_pb2,
)
from memplane.v1 import memory_service_pb2 as svc
from memplane_adapters.contract import (
    All,
    Condition,
    Filter,
    Op,
    Order,
    Value,
    from_micros,
)
from memplane_gateway import limits
from memplane_gateway.memory.questions import (
    Counted,
    FilterReport,
    Found,
    ListedPage,
    Listing,
    Mode,
    Parts,
    Search,
    Selection,
    Weights,
)
from memplane_gateway.pacing import paced
from memplane_gateway.wire.filters import read_filter
from memplane_gateway.wire.memories import (
    read_kind,
    read_labels,
    read_ref,
    read_share,
    write_memory,
)
from memplane_gateway.wire.values import read_time
from memplane_gateway.wire.vectors import read_vector
from memplane_gateway.wire.violations import Violations

MODES: dict[int, Mode] = {
    search_pb2.SEARCH_MODE_UNSPECIFIED: Mode.AUTO,
    search_pb2.SEARCH_MODE_AUTO: Mode.AUTO,
    search_pb2.SEARCH_MODE_VECTOR: Mode.VECTOR,
    search_pb2.SEARCH_MODE_KEYWORD: Mode.KEYWORD,
    search_pb2.SEARCH_MODE_HYBRID: Mode.HYBRID,
    search_pb2.SEARCH_MODE_RECENT: Mode.RECENT,
}
MODE_NUMBERS: dict[Mode, search_pb2.SearchMode.ValueType] = {
    Mode.VECTOR: search_pb2.SEARCH_MODE_VECTOR,
    Mode.KEYWORD: search_pb2.SEARCH_MODE_KEYWORD,
    Mode.HYBRID: search_pb2.SEARCH_MODE_HYBRID,
    Mode.RECENT: search_pb2.SEARCH_MODE_RECENT,
}
ORDERS: dict[int, Order] = {
    svc.LIST_ORDER_UNSPECIFIED: Order.PLACE,
    svc.LIST_ORDER_KEY: Order.PLACE,
    svc.LIST_ORDER_UPDATE_TIME: Order.UPDATE_TIME,
    svc.LIST_ORDER_EVENT_TIME: Order.TIME,
}
_VIEWS = {
    memory_pb2.MEMORY_VIEW_UNSPECIFIED: False,
    memory_pb2.MEMORY_VIEW_FULL: False,
    memory_pb2.MEMORY_VIEW_WITH_VECTORS: True,
}


DEFAULT_RECENCY_WEIGHT = 0.5
_PARTS = tuple(field.name for field in fields(Parts))
_PagedT = TypeVar(
    "_PagedT", svc.ListMemoriesRequest, search_pb2.SearchQuery, scan_pb2.ScanMemoriesRequest
)

_Selecting: TypeAlias = (
    search_pb2.SearchQuery
    | svc.ListMemoriesRequest
    | svc.CountMemoriesRequest
    | purge_pb2.PurgeMemoriesRequest
    | scan_pb2.ScanMemoriesRequest
    | forget_pb2.ForgetMemoriesRequest
    | consolidate_pb2.ConsolidateMemoriesRequest
)


def read_view(number: int, path: str, violations: Violations) -> bool:
    """Whether a view has vectors."""
    if number not in _VIEWS:
        violations.add(path, "is unknown")
    return _VIEWS.get(memory_pb2.MemoryView.ValueType(number), False)


def read_selection(message: _Selecting, path: str, violations: Violations) -> Selection:
    """Which memories a read is about."""
    dot = f"{path}." if path else ""
    return Selection(
        kind=read_kind(message.kind, f"{dot}kind", violations),
        namespace=read_labels(message.namespace, f"{dot}namespace", violations),
        exact=message.exact_namespace,
        filter=read_filter(message.filter, f"{dot}filter", violations)
        if message.HasField("filter")
        else None,
    )


def read_search(
    message: search_pb2.SearchQuery, tenant: str, path: str, violations: Violations
) -> Search:
    """One question."""
    selection = read_selection(message, path, violations)
    window = _read_window(message, path, violations)
    if window is not None:
        both = (window,) if selection.filter is None else (window, selection.filter)
        selection = Selection(selection.kind, selection.namespace, selection.exact, All(both))
    query = message.WhichOneof("query")
    if query == "text":
        if not message.text:
            violations.add(f"{path}.text", "is empty; for the newest use RECENT without a query")
        violations.short(message.text, f"{path}.text", limits.TEXT_BYTES)
    mode = MODES.get(message.mode)
    if mode is None:
        violations.add(f"{path}.mode", "is unknown")
    if message.HasField("min_relevance"):
        read_share(message.min_relevance, f"{path}.min_relevance", violations)
    like = None
    if query == "like":
        like = read_ref(message.like, tenant, f"{path}.like", violations)
        if like.kind is not selection.kind:
            violations.add(f"{path}.like.kind", "is not the kind that is searched")
    return Search(
        selection=selection,
        text=message.text if query == "text" else None,
        vector=read_vector(message.vector, f"{path}.vector", violations)
        if query == "vector"
        else None,
        like=like,
        mode=mode or Mode.AUTO,
        min_relevance=message.min_relevance if message.HasField("min_relevance") else None,
        page_size=read_page_size(message.page_size, f"{path}.page_size", violations),
        vectors=read_view(message.view, f"{path}.view", violations),
        exact=message.exact,
        vector_share=read_share(message.vector_share, f"{path}.vector_share", violations)
        if message.HasField("vector_share")
        else None,
        weights=_read_weights(message, path, violations),
        diversity=read_share(message.diversity, f"{path}.diversity", violations),
        explain=message.explain,
        page_token=message.page_token,
        binding=_binding("SearchMemories", message, "explain"),
    )


def _read_weights(message: search_pb2.SearchQuery, path: str, violations: Violations) -> Weights:
    half_life = 0
    if message.HasField("recency_half_life"):
        seconds, nanos = message.recency_half_life.seconds, message.recency_half_life.nanos
        half_life = seconds * 1_000_000 + -(-nanos // 1000)
        if seconds < 0 or not 0 <= nanos < 10**9 or not half_life:
            violations.add(f"{path}.recency_half_life", "is not above 0, or malformed")
    elif message.recency_weight:
        violations.add(f"{path}.recency_weight", "needs recency_half_life")
    recency = DEFAULT_RECENCY_WEIGHT if half_life else 0.0
    if message.HasField("recency_weight"):
        recency = read_share(message.recency_weight, f"{path}.recency_weight", violations)
    importance = read_share(message.importance_weight, f"{path}.importance_weight", violations)
    return Weights(recency, half_life, importance)


def read_listing(message: svc.ListMemoriesRequest, violations: Violations) -> Listing:
    """A page of a walk to ask for."""
    order = ORDERS.get(message.order)
    if order is None:
        violations.add("order", "is unknown")
    return Listing(
        selection=read_selection(message, "", violations),
        binding=_binding("ListMemories", message, "consistency_token"),
        order=order or Order.PLACE,
        descending=message.descending,
        page_size=read_page_size(message.page_size, "page_size", violations),
        page_token=message.page_token,
        vectors=read_view(message.view, "view", violations),
    )


def read_scan(message: scan_pb2.ScanMemoriesRequest, violations: Violations) -> Listing:
    """The first page of a walk to ask for."""
    size = message.page_size or limits.MAX_PAGE_ITEMS
    return Listing(
        selection=read_selection(message, "", violations),
        binding=_binding("ScanMemories", message, "consistency_token"),
        page_size=read_page_size(size, "page_size", violations),
        page_token=message.page_token,
        vectors=read_view(message.view, "view", violations),
    )


async def write_found(found: Found, message: search_pb2.SearchResult, *, vectors: bool) -> None:
    """Set a reply to an answer."""
    async for hit in paced(found.hits):
        item = message.hits.add(relevance=hit.relevance, score=hit.score, matched_path=hit.path)
        write_memory(hit.memory, item.memory, vectors=vectors)
        if hit.parts is not None:
            _write_parts(hit.parts, item.explanation)
    message.mode = MODE_NUMBERS[found.mode]
    message.approximate = found.approximate
    message.notice = found.notice
    message.truncated = found.truncated
    message.incomplete = found.incomplete
    message.next_page_token = found.next_page_token
    write_report(found.filter, message.filter)


async def write_page(
    page: ListedPage,
    message: svc.ListMemoriesResponse | scan_pb2.ScanMemoriesResponse,
    *,
    vectors: bool,
) -> None:
    """Set a reply to a page."""
    async for memory in paced(page.memories):
        write_memory(memory, message.memories.add(), vectors=vectors)
    message.next_page_token = page.next_page_token
    message.incomplete = page.incomplete
    write_report(page.filter, message.filter)


def write_count(counted: Counted, message: svc.CountMemoriesResponse) -> None:
    """Set a reply to a count."""
    message.count = counted.count
    message.incomplete = counted.incomplete
    write_report(counted.filter, message.filter)


def write_report(report: FilterReport | None, message: filter_pb2.FilterReport) -> None:
    """Set a message to how a filter was evaluated; without one nothing is said."""
    if report is None:
        return
    message.SetInParent()
    message.pushed = report.pushed
    message.residual = report.residual
    message.scanned = report.scanned
    message.truncated = report.truncated


def read_page_size(size: int, path: str, violations: Violations) -> int:
    """How many items a page has at most."""
    if size < 0:
        violations.add(path, "is negative; 0 means the default")
    return min(size or limits.DEFAULT_PAGE_ITEMS, limits.MAX_PAGE_ITEMS)


def _write_parts(parts: Parts, message: search_pb2.Explanation) -> None:
    message.SetInParent()
    for name in _PARTS:
        value = getattr(parts, name)
        if value is not None:
            setattr(message, name, value)


def _binding(rpc: str, message: _PagedT, *loose: str) -> bytes:
    """What a page token is bound to: the rpc and the question, without where the page begins.

    `loose` are fields that may differ from page to page, too.
    """
    question = type(message)()
    question.CopyFrom(message)
    for field in ("page_token", "page_size", "view", *loose):
        question.ClearField(field)  # type: ignore[arg-type]
    encoded = question.SerializeToString(deterministic=True)
    return rpc.encode() + b"\0" + hashlib.blake2b(encoded, digest_size=16).digest()


def _read_window(
    message: search_pb2.SearchQuery, path: str, violations: Violations
) -> Filter | None:
    """The time window as a filter over event_time, else update_time."""
    bounds: list[tuple[Op, Value]] = []
    if message.HasField("time_from"):
        start = read_time(message.time_from, f"{path}.time_from", violations)
        bounds.append((Op.GTE, from_micros(start)))
    if message.HasField("time_to"):
        end = read_time(message.time_to, f"{path}.time_to", violations)
        bounds.append((Op.LT, from_micros(end)))
    if not bounds:
        return None

    # Episodes always have an event_time, other kinds never do.
    episodic = message.kind == memory_pb2.KIND_EPISODIC
    field = "@event_time" if episodic else "@update_time"
    return All(tuple(Condition((field,), op, bound) for op, bound in bounds))
