"""Searches, listings and counts: requests to domain values, answers to replies."""

from __future__ import annotations

import hashlib
from typing import TypeAlias

from memplane.v1 import filter_pb2, memory_pb2, purge_pb2
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
from memplane_gateway.memory.model import (
    Counted,
    FilterReport,
    Found,
    ListedPage,
    Listing,
    Mode,
    Search,
    Selection,
)
from memplane_gateway.pacing import paced
from memplane_gateway.wire.filters import read_filter
from memplane_gateway.wire.memories import read_kind, read_labels, read_vector, write_memory
from memplane_gateway.wire.values import read_time
from memplane_gateway.wire.violations import Violations

MODES: dict[int, Mode] = {
    svc.SEARCH_MODE_UNSPECIFIED: Mode.AUTO,
    svc.SEARCH_MODE_AUTO: Mode.AUTO,
    svc.SEARCH_MODE_VECTOR: Mode.VECTOR,
    svc.SEARCH_MODE_KEYWORD: Mode.KEYWORD,
    svc.SEARCH_MODE_HYBRID: Mode.HYBRID,
    svc.SEARCH_MODE_RECENT: Mode.RECENT,
}
MODE_NUMBERS: dict[Mode, svc.SearchMode.ValueType] = {
    Mode.VECTOR: svc.SEARCH_MODE_VECTOR,
    Mode.KEYWORD: svc.SEARCH_MODE_KEYWORD,
    Mode.HYBRID: svc.SEARCH_MODE_HYBRID,
    Mode.RECENT: svc.SEARCH_MODE_RECENT,
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


_Selecting: TypeAlias = (
    svc.SearchQuery
    | svc.ListMemoriesRequest
    | svc.CountMemoriesRequest
    | purge_pb2.PurgeMemoriesRequest
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


def read_search(message: svc.SearchQuery, path: str, violations: Violations) -> Search:
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
    if message.HasField("min_relevance") and not 0.0 <= message.min_relevance <= 1.0:
        violations.add(f"{path}.min_relevance", "is not between 0 and 1")
    return Search(
        selection=selection,
        text=message.text if query == "text" else None,
        vector=read_vector(message.vector, f"{path}.vector", violations)
        if query == "vector"
        else None,
        mode=mode or Mode.AUTO,
        min_relevance=message.min_relevance if message.HasField("min_relevance") else None,
        page_size=read_page_size(message.page_size, f"{path}.page_size", violations),
        vectors=read_view(message.view, f"{path}.view", violations),
        exact=message.exact,
    )


def read_listing(message: svc.ListMemoriesRequest, violations: Violations) -> Listing:
    """A page of a walk to ask for."""
    order = ORDERS.get(message.order)
    if order is None:
        violations.add("order", "is unknown")
    return Listing(
        selection=read_selection(message, "", violations),
        binding=_binding(message),
        order=order or Order.PLACE,
        descending=message.descending,
        page_size=read_page_size(message.page_size, "page_size", violations),
        page_token=message.page_token,
        vectors=read_view(message.view, "view", violations),
    )


async def write_found(found: Found, message: svc.SearchResult, *, vectors: bool) -> None:
    """Set a reply to an answer."""
    async for hit in paced(found.hits):
        item = message.hits.add(relevance=hit.relevance, score=hit.score)
        write_memory(hit.memory, item.memory, vectors=vectors)
    message.mode = MODE_NUMBERS[found.mode]
    message.approximate = found.approximate
    message.notice = found.notice
    message.truncated = found.truncated
    message.incomplete = found.incomplete
    write_report(found.filter, message.filter)


async def write_page(page: ListedPage, message: svc.ListMemoriesResponse, *, vectors: bool) -> None:
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


def _binding(message: svc.ListMemoriesRequest) -> bytes:
    """What a page token is bound to: the rpc and the question, without where the page begins."""
    question = svc.ListMemoriesRequest()
    question.CopyFrom(message)
    for field in ("page_token", "page_size", "view", "consistency_token"):
        question.ClearField(field)
    encoded = question.SerializeToString(deterministic=True)
    return b"ListMemories\0" + hashlib.blake2b(encoded, digest_size=16).digest()


def _read_window(message: svc.SearchQuery, path: str, violations: Violations) -> Filter | None:
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
