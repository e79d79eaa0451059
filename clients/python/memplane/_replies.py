"""From reply messages to what callers get. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from memplane import _enums, _values, _vectors
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
from memplane.v1 import (
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


def time_of(present: bool, stamp: Timestamp) -> datetime | None:  # noqa: FBT001 (HasField, said once)
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
        create_time=time_of(has("create_time"), message.create_time),
        update_time=time_of(has("update_time"), message.update_time),
        expire_time=time_of(has("expire_time"), message.expire_time),
        content_hash=message.content_hash,
        embedding=embedding(message.embedding) if has("embedding") else None,
        provenance=_provenance(message.provenance) if has("provenance") else None,
        searchable=message.searchable,
    )


def _episode(message: memory_pb2.Episode) -> Episode:
    known = _enums.from_wire(_enums.EpisodeType, message.type)
    return Episode(
        type=known or _enums.EpisodeType.CUSTOM,
        event_time=time_of(message.HasField("event_time"), message.event_time),
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


def embedding(message: memory_pb2.EmbeddingIdentity) -> Embedding:
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
                oldest=time_of(each.HasField("oldest"), each.oldest),
                newest=time_of(each.HasField("newest"), each.newest),
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
        error=item_error(message.error) if message.HasField("error") else None,
        etag=message.etag,
        revision=message.revision,
        create_time=time_of(message.HasField("create_time"), message.create_time),
        update_time=time_of(message.HasField("update_time"), message.update_time),
        expire_time=time_of(message.HasField("expire_time"), message.expire_time),
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


def item_error(message: memory_service_pb2.ItemError) -> MemplaneError:
    from memplane._error_details import from_item

    return from_item(message)
