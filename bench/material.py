"""What the exact store knows: the answers that all others owe, and the vectors to ask with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from bench import cases
from bench.agreement import Reply, name_of
from bench.cases import LABEL
from bench.conversations import Conversation
from bench.direct import Direct, Row, Vector
from bench.echo_server import METHOD as ECHO
from bench.rates import Call, Operation
from grpc import aio

from memplane import AsyncClient, Delete, Kind, Memory, Mode, Put, Ref
from memplane.v1 import memory_pb2, memory_service_pb2, search_pb2

PAGE: Final = 10
_ASIDE: Final = "questions"
"""Where the questions are for a moment, to get their vectors."""
_READ: Final = 256
"""About how many memories are read, one by one, again and again."""
_CHECKED: Final = 50
"""Questions that are held against the library's answers."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its vector."""

    number: int
    """Its place among all questions, also those without a vector."""
    conversation: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Material:
    """All of it."""

    rows: Sequence[Row]
    """Every memory with a vector."""
    refs: Sequence[Ref]
    """Theirs."""
    questions: Sequence[Question]
    replies: Sequence[Sequence[Reply]]
    """To all cases, deeper than they ask."""

    @property
    def dimension(self) -> int:
        """Of the vectors."""
        return len(self.rows[0].vector)

    def ids(self) -> Mapping[str, str]:
        """From the names of memories to the ids of rows."""
        return {row.name: row.id for row in self.rows}


async def gather(client: AsyncClient, conversations: Sequence[Conversation]) -> Material:
    """Asks the exact store, to which all conversations were written."""
    memories = [
        memory
        for kind in (Kind.EPISODIC, Kind.SEMANTIC)
        async for memory in client.list(kind, page_size=500, with_vectors=True)
        if memory.vector is not None
    ]
    chosen = cases.cases(conversations)
    return Material(
        rows=[_row(memory) for memory in memories],
        refs=[memory.ref for memory in memories],
        replies=await cases.ask_all(client, chosen, depth=cases.DEEP),
        questions=await _questions(client, conversations),
    )


def space(kind: Kind, conversation: str) -> str:
    """The namespace of memories as one string, as somebody without a gateway might write it."""
    return f"{kind.value}/{LABEL}/{conversation}"


def _row(memory: Memory) -> Row:
    episode = memory.episode
    metadata = (
        {"speaker": str(memory.attributes["speaker"])}
        if episode is None
        else {
            "speaker": episode.actor,
            "session": episode.session_id,
            "time": str(episode.event_time),
        }
    )
    return Row(
        name=name_of(memory),
        namespace=space(memory.kind, memory.namespace[1]),
        text=memory.text,
        vector=np.asarray(memory.vector, dtype=np.float32),
        metadata={**metadata, "key": memory.key},
    )


async def _questions(client: AsyncClient, conversations: Sequence[Conversation]) -> list[Question]:
    """Those with a vector; the route's embedder makes it, whichever that is."""
    pairs = [(each.name, one.text) for each in conversations for one in each.questions]
    refs = [Ref(Kind.SEMANTIC, (_ASIDE,), str(number)) for number in range(len(pairs))]
    puts = [Put(ref, text=text) for ref, (_, text) in zip(refs, pairs, strict=True)]
    (await client.put_many(puts)).raise_for_error()
    memories = await client.get_many(refs, with_vectors=True)
    (await client.delete_many(Delete(ref) for ref in refs)).raise_for_error()
    return [
        Question(number, conversation, np.asarray(memory.vector, dtype=np.float32))
        for number, ((conversation, _), memory) in enumerate(zip(pairs, memories, strict=True))
        if memory is not None and memory.vector is not None
    ]


# --- what is measured -------------------------------------------------------------------------


def through_gateway(client: AsyncClient, material: Material) -> tuple[Operation, Operation]:
    """A search and a get, with nothing to compare with."""
    questions, refs = material.questions, _some(material.refs)

    async def search(number: int) -> None:
        question = questions[number % len(questions)]
        scope = client.scope(LABEL, question.conversation)
        found = await scope.search(
            vector=question.vector, kind=Kind.EPISODIC, mode=Mode.VECTOR, limit=PAGE
        )
        assert found.hits

    async def get(number: int) -> None:
        assert await client.get(refs[number % len(refs)]) is not None

    return Operation("search, VECTOR", search, None), Operation("get", get, None)


def beside_direct(
    operations: tuple[Operation, Operation], direct: Direct, material: Material
) -> list[Operation]:
    """The same through the vendor's library."""
    questions, rows = material.questions, _some(material.rows)

    async def search(number: int) -> None:
        question = questions[number % len(questions)]
        where = space(Kind.EPISODIC, question.conversation)
        assert await direct.search(question.vector, where, PAGE)

    async def get(number: int) -> None:
        row = rows[number % len(rows)]
        assert await direct.get(row.id, row.namespace) is not None

    return [
        Operation(operation.name, operation.gateway, call)
        for operation, call in zip(operations, (search, get), strict=True)
    ]


def beside_echo(
    operations: tuple[Operation, Operation], echo: aio.Channel, material: Material
) -> list[Operation]:
    """The same bytes to a bare server that gives them back."""
    send: aio.UnaryUnaryMultiCallable[bytes, bytes] = echo.unary_unary(ECHO)
    first, ref = material.questions[0], material.refs[0]
    message = memory_pb2.MemoryRef(
        kind=memory_pb2.Kind.Value(f"KIND_{ref.kind.name}"), namespace=ref.namespace, key=ref.key
    )
    query = search_pb2.SearchQuery(
        kind=memory_pb2.KIND_EPISODIC,
        namespace=[LABEL, first.conversation],
        mode=search_pb2.SEARCH_MODE_VECTOR,
        vector=first.vector.astype("<f4").tobytes(),
        page_size=PAGE,
    )
    requests = (
        memory_service_pb2.SearchMemoriesRequest(queries=[query]).SerializeToString(),
        memory_service_pb2.GetMemoriesRequest(refs=[message]).SerializeToString(),
    )

    def caller(request: bytes) -> Call:
        async def call(_number: int) -> None:
            await send(request, timeout=60)

        return call

    return [
        Operation(operation.name, operation.gateway, caller(request))
        for operation, request in zip(operations, requests, strict=True)
    ]


async def agree(direct: Direct, material: Material) -> float:
    """The share of the exact store's first hits that the library finds: it does the same work."""
    ids = material.ids()
    shares: list[float] = []
    for question in material.questions[:_CHECKED]:
        where = space(Kind.EPISODIC, question.conversation)
        found = {one.id for one in await direct.search(question.vector, where, PAGE)}
        owed = material.replies[0][question.number].rows[:PAGE]
        shares.append(sum(ids[row.name] in found for row in owed) / len(owed))
    return sum(shares) / len(shares)


def _some(given: Sequence[T]) -> Sequence[T]:
    """Some of them, from all over."""
    return given[:: max(1, len(given) // _READ)]
