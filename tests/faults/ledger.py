"""What writers have asked for and what was acknowledged, against what a gateway then holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from memplane.v1 import memory_pb2, memory_service_pb2_grpc, search_pb2
from memplane.v1 import memory_service_pb2 as svc

Place = tuple[int, tuple[str, ...], str]
"""Kind, namespace and key."""

KINDS = (memory_pb2.KIND_SEMANTIC, memory_pb2.KIND_EPISODIC, memory_pb2.KIND_PROCEDURAL)
EVERYWHERE = "everywhere"
"""A word that stands in every text."""

_OUTPUT_ONLY: tuple[Any, ...] = (
    "etag", "revision", "create_time", "update_time", "expire_time", "content_hash", "embedding",
    "provenance", "searchable",
)  # fmt: skip


def place_of(ref: memory_pb2.MemoryRef) -> Place:
    """A ref as something that can be a key."""
    return ref.kind, tuple(ref.namespace), ref.key


@dataclass(frozen=True, slots=True)
class State:
    """A memory as it must read back; `etag` is empty where no acknowledgement told it."""

    memory: memory_pb2.Memory
    etag: str = ""

    def holds(self, found: memory_pb2.Memory) -> str:
        """How a memory differs from what was written; empty when it does not."""
        plain = memory_pb2.Memory()
        plain.CopyFrom(found)
        for name in (*_OUTPUT_ONLY, "vector"):
            plain.ClearField(name)
        wanted = memory_pb2.Memory()
        wanted.CopyFrom(self.memory)
        wanted.ClearField("vector")
        if plain != wanted:
            return f"written {wanted} but found {plain}"
        if self.etag and self.etag != found.etag:
            return f"acknowledged with etag {self.etag} but found {found.etag}"
        if self.memory.vector:
            written = np.frombuffer(self.memory.vector, "<f4")
            cosine = float(written @ np.frombuffer(found.vector, "<f4") / np.linalg.norm(written))
            if cosine < 1 - 1e-5:
                return f"the vector is another one (cosine {cosine})"
        return ""


@dataclass(slots=True)
class Attempt:
    """A call that was sent: for each place, what is there afterwards when it takes effect."""

    request: svc.PutMemoriesRequest | svc.UpdateMemoriesRequest | svc.DeleteMemoriesRequest
    after: dict[Place, State | None]


@dataclass(slots=True)
class Ledger:
    """What must be there."""

    known: dict[Place, State | None] = field(default_factory=dict)
    doubtful: list[Attempt] = field(default_factory=list)
    acknowledged: int = 0

    def acknowledge(self, attempt: Attempt, results: list[svc.WriteResult]) -> None:
        """A call was answered with OK."""
        assert len(results) == len(attempt.after)
        for result in results:
            assert not result.HasField("error"), f"{result.error} for {result.ref}"
            state = attempt.after[place_of(result.ref)]
            if state is not None:
                state = State(state.memory, result.etag)
            self.known[place_of(result.ref)] = state
        self.acknowledged += len(results)

    def settle(self, found: dict[Place, memory_pb2.Memory]) -> tuple[int, int]:
        """Decide by what is there which calls without an answer took effect; all or nothing.

        Returns how many did and how many did not.
        """
        applied = 0
        for attempt in self.doubtful:
            before = {place: self.known.get(place) for place in attempt.after}
            kept = [_is(found.get(place), state) for place, state in before.items()]
            done = [_is(found.get(place), state) for place, state in attempt.after.items()]
            assert all(kept) or all(done), (
                f"half a call took effect: {attempt.request}\nas before: {kept}\nas asked: {done}"
            )
            if all(done):
                applied += 1
                self.known.update(attempt.after)
        return applied, len(self.doubtful) - applied

    def compare(self, found: dict[Place, memory_pb2.Memory]) -> None:
        """All that was acknowledged is there, and nothing else."""
        for place, state in self.known.items():
            memory = found.get(place)
            if state is None:
                assert memory is None, f"deleted, but there: {memory}"
                continue
            assert memory is not None, f"acknowledged, but lost: {state.memory}"
            assert not state.holds(memory), f"{place}: {state.holds(memory)}"
        strangers = found.keys() - self.known.keys()
        assert not strangers, f"written by nobody: {sorted(strangers)[:5]}"


def _is(found: memory_pb2.Memory | None, state: State | None) -> bool:
    if found is None or state is None:
        return found is None and state is None
    return not state.holds(found)


def holdings(stub: memory_service_pb2_grpc.MemoryServiceStub) -> dict[Place, memory_pb2.Memory]:
    """All that a gateway holds, after a check that all of its ways to read agree on it."""
    held: dict[Place, memory_pb2.Memory] = {}
    for kind in KINDS:
        of_kind = listed(stub, kind)
        held.update(of_kind)
        counted = stub.CountMemories(svc.CountMemoriesRequest(kind=kind), timeout=20)
        assert counted.count == len(of_kind), "count and list differ"
        _check_got(stub, of_kind)
        if kind != memory_pb2.KIND_PROCEDURAL:
            _check_keyword(stub, kind, of_kind)
            _check_vector(stub, kind, of_kind)
    return held


def listed(
    stub: memory_service_pb2_grpc.MemoryServiceStub, kind: memory_pb2.Kind.ValueType
) -> dict[Place, memory_pb2.Memory]:
    """All memories of a kind by a walk, vectors included; none comes twice."""
    found: dict[Place, memory_pb2.Memory] = {}
    request = svc.ListMemoriesRequest(
        kind=kind, page_size=1000, view=memory_pb2.MEMORY_VIEW_WITH_VECTORS
    )
    while True:
        page = stub.ListMemories(request, timeout=20)
        for memory in page.memories:
            assert place_of(memory.ref) not in found, f"listed twice: {memory.ref}"
            found[place_of(memory.ref)] = memory
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def _check_got(
    stub: memory_service_pb2_grpc.MemoryServiceStub, held: dict[Place, memory_pb2.Memory]
) -> None:
    refs = [memory.ref for memory in held.values()]
    for start in range(0, len(refs), 500):
        got = stub.GetMemories(
            svc.GetMemoriesRequest(
                refs=refs[start : start + 500], view=memory_pb2.MEMORY_VIEW_WITH_VECTORS
            ),
            timeout=20,
        )
        for result in got.results:
            assert result.memory == held[place_of(result.ref)], "get and list differ"


def _check_keyword(
    stub: memory_service_pb2_grpc.MemoryServiceStub,
    kind: memory_pb2.Kind.ValueType,
    held: dict[Place, memory_pb2.Memory],
) -> None:
    """The full-text index has the words of what is held, and no others."""
    query = search_pb2.SearchQuery(
        kind=kind,
        text=EVERYWHERE,
        mode=search_pb2.SEARCH_MODE_KEYWORD,
        page_size=1000,
        view=memory_pb2.MEMORY_VIEW_WITH_VECTORS,
    )
    _check_hits(stub, [query], held)
    words = {memory.text.split()[0]: memory for memory in held.values()}
    queries = [
        search_pb2.SearchQuery(
            kind=kind,
            text=word,
            mode=search_pb2.SEARCH_MODE_KEYWORD,
            view=memory_pb2.MEMORY_VIEW_WITH_VECTORS,
        )
        for word in words
    ]
    for start in range(0, len(queries), 16):
        part = queries[start : start + 16]
        answer = stub.SearchMemories(svc.SearchMemoriesRequest(queries=part), timeout=20)
        for asked, result in zip(part, answer.results, strict=True):
            assert [hit.memory for hit in result.hits] == [words[asked.text]], "another's word"


def _check_vector(
    stub: memory_service_pb2_grpc.MemoryServiceStub,
    kind: memory_pb2.Kind.ValueType,
    held: dict[Place, memory_pb2.Memory],
) -> None:
    """The vector index has the vectors of what is held, and no others."""
    if not held:
        return
    probe = next(iter(held.values())).vector
    query = search_pb2.SearchQuery(
        kind=kind,
        vector=probe,
        mode=search_pb2.SEARCH_MODE_VECTOR,
        page_size=1000,
        view=memory_pb2.MEMORY_VIEW_WITH_VECTORS,
    )
    hits = _check_hits(stub, [query], held)
    asked = np.frombuffer(probe, "<f4")
    for hit in hits:
        cosine = float(asked @ np.frombuffer(hit.memory.vector, "<f4"))
        assert abs(cosine - hit.score) < 1e-4, "the index has another vector than the record"


def _check_hits(
    stub: memory_service_pb2_grpc.MemoryServiceStub,
    queries: list[search_pb2.SearchQuery],
    held: dict[Place, memory_pb2.Memory],
) -> list[search_pb2.SearchHit]:
    answer = stub.SearchMemories(svc.SearchMemoriesRequest(queries=queries), timeout=20)
    hits = list(answer.results[0].hits)
    found = {place_of(hit.memory.ref): hit.memory for hit in hits}
    assert len(found) == len(hits), "found twice"
    mode = search_pb2.SearchMode.Name(queries[0].mode)
    missing, strange = held.keys() - found.keys(), found.keys() - held.keys()
    assert not missing, f"{mode} does not find {sorted(missing)[:5]}"
    assert not strange, f"{mode} finds what is not there: {sorted(strange)[:5]}"
    for place, memory in found.items():
        assert memory == held[place], f"{mode} and list differ"
    return hits
