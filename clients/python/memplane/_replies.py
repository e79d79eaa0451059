"""From reply messages to what callers get. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from memplane import _enums, _sweeps, _values, _vectors
from memplane._errors import Internal, MemplaneError, error_class
from memplane._models import (
    Count,
    Embedding,
    Episode,
    Explanation,
    FilterReport,
    Hit,
    IndexedText,
    Memory,
    NamespacePage,
    Page,
    Provenance,
    PurgeResult,
    Ref,
    SearchResult,
    Statistics,
    WriteResult,
    WriteResults,
)
from memplane._status import (
    Capabilities,
    ControlStatus,
    OutboxEntry,
    OutboxResult,
    OutboxStatus,
    RouteCapabilities,
    RouteStatus,
    Status,
)
from memplane.v1 import (
    admin_service_pb2,
    error_reason_pb2,
    forget_pb2,
    memory_pb2,
    memory_service_pb2,
    namespace_pb2,
    purge_pb2,
    search_pb2,
    statistics_pb2,
)

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from memplane.v1 import filter_pb2, indexed_text_pb2


def ref(message: memory_pb2.MemoryRef) -> Ref:
    """A ref."""
    kind = _enums.from_wire(_enums.Kind, message.kind)
    if kind is None:
        raise Internal(f"the gateway named a memory of a kind unknown here ({message.kind})")
    return Ref._of(kind, tuple(message.namespace), message.key)  # noqa: SLF001 (a reply is right)


def _time(present: bool, stamp: Timestamp) -> datetime | None:  # noqa: FBT001 (HasField, said once)
    return _values.moment_of(stamp) if present else None


def memory(message: memory_pb2.Memory) -> Memory:
    """A memory."""
    has = message.HasField
    return Memory(
        ref=ref(message.ref),
        text=message.text,
        attributes=_values.from_map(message.attributes),
        value=_values.from_value(message.value) if has("value") else None,
        has_value=has("value"),
        episode=_episode(message.episode) if has("episode") else None,
        importance=message.importance if has("importance") else None,
        pinned=message.pinned,
        vector=_vectors.from_bytes(message.vector),
        indexed_texts=tuple(map(_indexed_text, message.indexed_texts)),
        etag=message.etag,
        revision=message.revision,
        create_time=_time(has("create_time"), message.create_time),
        update_time=_time(has("update_time"), message.update_time),
        expire_time=_time(has("expire_time"), message.expire_time),
        content_hash=message.content_hash,
        embedding=_embedding(message.embedding) if has("embedding") else None,
        provenance=_provenance(message.provenance) if has("provenance") else None,
        searchable=message.searchable,
    )


def _episode(message: memory_pb2.Episode) -> Episode:
    known = _enums.from_wire(_enums.EpisodeType, message.type)
    return Episode(
        type=known or _enums.EpisodeType.CUSTOM,
        event_time=_time(message.HasField("event_time"), message.event_time),
        session_id=message.session_id,
        agent_id=message.agent_id,
        actor=message.actor,
        input=_values.from_value(message.input) if message.HasField("input") else None,
        output=_values.from_value(message.output) if message.HasField("output") else None,
    )


def _indexed_text(message: indexed_text_pb2.IndexedText) -> IndexedText:
    return IndexedText(message.path, message.text, _vectors.from_bytes(message.vector))


def _provenance(message: memory_pb2.Provenance) -> Provenance:
    return Provenance(message.principal, message.request_id, message.source)


def _embedding(message: memory_pb2.EmbeddingIdentity) -> Embedding:
    return Embedding(
        message.provider, message.model, message.dimension, message.metric, message.normalized
    )


def filter_report(message: filter_pb2.FilterReport) -> FilterReport:
    """How a filter was evaluated."""
    return FilterReport(message.pushed, message.residual, message.scanned, message.truncated)


def memories(response: memory_service_pb2.GetMemoriesResponse) -> list[Memory | None]:
    """What was found, in the order of the request."""
    return [
        memory(result.memory) if result.HasField("memory") else None for result in response.results
    ]


def search_result(message: search_pb2.SearchResult) -> SearchResult:
    """The answer to one query."""
    return SearchResult(
        hits=tuple(
            Hit(
                memory(hit.memory),
                hit.relevance,
                hit.score if hit.HasField("score") else None,
                _explanation(hit.explanation) if hit.HasField("explanation") else None,
                hit.matched_path,
            )
            for hit in message.hits
        ),
        mode=_enums.from_wire(_enums.Mode, message.mode) or _enums.Mode.UNKNOWN,
        approximate=message.approximate,
        filter=filter_report(message.filter) if message.HasField("filter") else None,
        notice=message.notice,
        truncated=message.truncated,
        incomplete=message.incomplete,
        next_page_token=message.next_page_token,
    )


def _explanation(message: search_pb2.Explanation) -> Explanation:
    return Explanation(**{field.name: value for field, value in message.ListFields()})


def page(response: memory_service_pb2.ListMemoriesResponse) -> Page:
    """A page of a listing."""
    return Page(
        memories=tuple(memory(each) for each in response.memories),
        next_page_token=response.next_page_token,
        filter=filter_report(response.filter) if response.HasField("filter") else None,
        incomplete=response.incomplete,
    )


def count(response: memory_service_pb2.CountMemoriesResponse) -> Count:
    """A number of memories."""
    report = filter_report(response.filter) if response.HasField("filter") else None
    return Count(response.count, report, incomplete=response.incomplete)


def reports(
    responses: Sequence[purge_pb2.PurgeMemoriesResponse | forget_pb2.ForgetMemoriesResponse],
) -> FilterReport | None:
    """How the calls of one walk to its end evaluated its filter; None where one does not say it."""
    found = [filter_report(each.filter) for each in responses if each.HasField("filter")]
    if len(found) < len(responses):
        return None
    scanned = sum(each.scanned for each in found)
    return FilterReport(found[-1].pushed, found[-1].residual, scanned, truncated=False)


def purged(responses: Sequence[purge_pb2.PurgeMemoriesResponse], *, dry_run: bool) -> PurgeResult:
    """What the calls of one purge did together."""
    return PurgeResult(
        count=sum(each.count for each in responses),
        dry_run=dry_run,
        filter=reports(responses),
        replayed=any(each.replayed for each in responses),
        durability=_enums.from_wire(_enums.Durability, responses[-1].durability)
        or _enums.Durability.UNKNOWN,
    )


def namespace_page(response: namespace_pb2.ListNamespacesResponse) -> NamespacePage:
    """A page of namespaces."""
    return NamespacePage(
        namespaces=tuple(tuple(each.labels) for each in response.namespaces),
        next_page_token=response.next_page_token,
        incomplete=response.incomplete,
    )


def statistics(
    response: statistics_pb2.GetStatisticsResponse,
) -> dict[_enums.Kind, Statistics]:
    """Figures by kind; those of kinds that a newer gateway has are left out."""
    figures = {}
    for each in response.kinds:
        kind = _enums.from_wire(_enums.Kind, each.kind)
        if kind is not None:
            figures[kind] = Statistics(
                count=each.count,
                oldest=_time(each.HasField("oldest"), each.oldest),
                newest=_time(each.HasField("newest"), each.newest),
                mean_importance=each.mean_importance if each.HasField("mean_importance") else None,
                importance_count=each.importance_count,
                truncated=each.truncated,
                filter=filter_report(each.filter) if each.HasField("filter") else None,
                incomplete=each.incomplete,
            )
    return figures


def one(results: Sequence[object], asked: int) -> None:
    """Makes sure that a reply has one result for each item asked.

    Raises:
        Internal: It has not, so that nobody can say which result belongs to which item.
    """
    if len(results) != asked:
        raise Internal(f"the gateway answered {asked} items with {len(results)} results")


def write_results(
    results: Sequence[memory_service_pb2.WriteResult], asked: int, token: str
) -> WriteResults:
    """What became of a batch."""
    one(results, asked)
    return WriteResults(_write_result(each, token) for each in results)


def _write_result(message: memory_service_pb2.WriteResult, token: str) -> WriteResult:
    return WriteResult(
        ref=ref(message.ref),
        outcome=_enums.from_wire(_enums.Outcome, message.outcome) or _enums.Outcome.UNKNOWN,
        error=_item_error(message.error) if message.HasField("error") else None,
        etag=message.etag,
        revision=message.revision,
        create_time=_time(message.HasField("create_time"), message.create_time),
        update_time=_time(message.HasField("update_time"), message.update_time),
        expire_time=_time(message.HasField("expire_time"), message.expire_time),
        searchable=message.searchable,
        replayed=message.replayed,
        durability=_enums.from_wire(_enums.Durability, message.durability)
        or _enums.Durability.UNKNOWN,
        replicas_acked=message.replicas_acked,
        visible=message.visible,
        consistency_token=token,
    )


class Written:
    """Gathers what became of the parts of a batch.

    Parts are sent one after the other. When one fails as a whole, the error stands at each of its
    items and the parts after it are not sent, which is said at theirs. When no part came before it,
    nothing is lost by raising the error, so that is what happens.
    """

    def __init__(self) -> None:
        self._results: list[WriteResult] = []

    def add(
        self, results: Sequence[memory_service_pb2.WriteResult], asked: int, token: str
    ) -> None:
        """Takes the reply to one part."""
        self._results.extend(write_results(results, asked, token))

    def fail(
        self,
        error: MemplaneError,
        failed: Sequence[memory_pb2.MemoryRef],
        unsent: Sequence[memory_pb2.MemoryRef],
    ) -> WriteResults:
        """What to return when a part failed; raises the error if it was the first."""
        if not self._results:
            raise error
        details = {**error.details(), "ambiguous": False, "violations": ()}
        not_sent = error_class(error.code)(
            f"not sent, because an earlier part of the batch failed: {error.message}",
            **details,  # type: ignore[arg-type]  # the same keys
        )
        for refs, why in ((failed, error), (unsent, not_sent)):
            self._results.extend(
                WriteResult(ref(each), _enums.Outcome.UNKNOWN, error=why) for each in refs
            )
        return self.results()

    def results(self) -> WriteResults:
        """All results so far, in order."""
        return WriteResults(self._results)


def capabilities(response: admin_service_pb2.GetCapabilitiesResponse) -> Capabilities:
    """What the gateway can do; kinds that are unknown here are left out."""
    routes = {}
    for route in response.routes:
        kind = _enums.from_wire(_enums.Kind, route.kind)
        if kind is not None:
            routes[kind] = _route_capabilities(kind, route)
    return Capabilities(routes, dict(response.limits))


def _route_capabilities(
    kind: _enums.Kind, route: admin_service_pb2.RouteCapabilities
) -> RouteCapabilities:
    facts = route.capabilities
    pushdowns = (
        (_enums.from_wire(_enums.Op, each.op), _enums.from_wire(_enums.Pushdown, each.pushdown))
        for each in facts.filters
    )
    levels = (_enums.from_wire(_enums.Durability, each) for each in facts.durability)
    return RouteCapabilities(
        kind=kind,
        store=route.store,
        adapter=route.adapter,
        auto_mode=_enums.from_wire(_enums.Mode, route.auto_mode) or _enums.Mode.UNKNOWN,
        embedding=_embedding(route.embedding) if route.HasField("embedding") else None,
        filters={op: how or _enums.Pushdown.UNKNOWN for op, how in pushdowns if op is not None},
        conditional_write=_enums.from_wire(_enums.ConditionalWrite, facts.conditional_write)
        or _enums.ConditionalWrite.UNKNOWN,
        ordered_scan=facts.ordered_scan,
        vector=facts.vector,
        keyword=facts.keyword,
        hybrid=facts.hybrid,
        exact_search=facts.exact_search,
        approximate=facts.approximate,
        expiry=facts.expiry,
        exact_count=facts.exact_count,
        read_your_writes=facts.read_your_writes,
        vectorless=facts.vectorless,
        atomic=facts.atomic,
        durability=tuple(level or _enums.Durability.UNKNOWN for level in levels),
        isolation=facts.isolation,
        max_batch_items=facts.max_batch_items or None,
        max_batch_bytes=facts.max_batch_bytes or None,
        max_item_bytes=facts.max_item_bytes or None,
        max_dimension=facts.max_dimension or None,
    )


def status(response: admin_service_pb2.GetStatusResponse) -> Status:
    """How the gateway fares; kinds that are unknown here are left out."""
    routes = {}
    for route in response.routes:
        kind = _enums.from_wire(_enums.Kind, route.kind)
        if kind is not None:
            routes[kind] = _route_status(kind, route)
    return Status(
        version=response.version,
        start_time=_time(response.HasField("start_time"), response.start_time),
        routes=routes,
        notices=tuple(response.notices),
        control=_control_status(response.control) if response.HasField("control") else None,
        sweeper=_sweeps.sweeper(response.sweeper) if response.HasField("sweeper") else None,
    )


def _control_status(control: admin_service_pb2.ControlStatus) -> ControlStatus:
    return ControlStatus(
        store=control.store,
        adapter=control.adapter,
        shared=control.shared,
        state=_enums.from_wire(_enums.RouteState, control.state) or _enums.RouteState.UNKNOWN,
        durability=_enums.from_wire(_enums.Durability, control.durability)
        or _enums.Durability.UNKNOWN,
    )


def _route_status(kind: _enums.Kind, route: admin_service_pb2.RouteStatus) -> RouteStatus:
    reasons = error_reason_pb2.ErrorReason
    error = ""
    if route.error in reasons.values() and route.error:
        error = reasons.Name(route.error).removeprefix("ERROR_REASON_")
    return RouteStatus(
        kind=kind,
        store=route.store,
        adapter=route.adapter,
        state=_enums.from_wire(_enums.RouteState, route.state) or _enums.RouteState.UNKNOWN,
        error=error,
        message=route.message,
        persistent=route.persistent,
        durability=_enums.from_wire(_enums.Durability, route.durability)
        or _enums.Durability.UNKNOWN,
        rows=route.rows if route.rows >= 0 else None,
        size_bytes=route.size_bytes if route.size_bytes >= 0 else None,
        embedding=_embedding(route.embedding) if route.HasField("embedding") else None,
        ping_seconds=route.ping_us / 1e6 if route.ping_us >= 0 else None,
        last_backup_time=_time(route.HasField("last_backup_time"), route.last_backup_time),
        durability_why=route.durability_why,
        replicas=route.replicas if route.HasField("replicas") else None,
        outbox=OutboxStatus(
            route.outbox.waiting,
            route.outbox.dead,
            route.outbox.size_bytes,
            _time(route.outbox.HasField("oldest_time"), route.outbox.oldest_time),
        )
        if route.HasField("outbox")
        else None,
        renewals=_sweeps.renewals(route.renewals) if route.HasField("renewals") else None,
    )


def outbox_entry(message: admin_service_pb2.OutboxEntry) -> OutboxEntry:
    """One write in the outbox."""
    operation = _enums.from_wire(_enums.OutboxOperation, message.operation)
    return OutboxEntry(
        id=message.id,
        tenant=message.tenant,
        ref=ref(message.ref) if message.HasField("ref") else None,
        operation=operation or _enums.OutboxOperation.UNKNOWN,
        spool_time=_time(message.HasField("spool_time"), message.spool_time),
        size_bytes=message.size_bytes,
        error=_item_error(message.error) if message.HasField("error") else None,
    )


def outbox_results(
    results: Sequence[admin_service_pb2.OutboxResult], asked: int
) -> tuple[OutboxResult, ...]:
    """What became of entries."""
    one(results, asked)
    return tuple(
        OutboxResult(each.id, _item_error(each.error) if each.HasField("error") else None)
        for each in results
    )


def _item_error(message: memory_service_pb2.ItemError) -> MemplaneError:
    from memplane._error_details import from_item

    return from_item(message)
