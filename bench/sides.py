"""The two ways to a store, and what is done by both: how it is asked, and how answers are judged."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final, Protocol

from bench.agreement import Agreement, Reply
from bench.agreement import Row as Hit
from bench.direct import Direct, Row
from bench.made import (
    LABEL,
    PAGE,
    Made,
    Question,
    name_of_found,
    name_of_memory,
    name_of_row,
    put_of,
    ref_of,
    reply_of_memories,
    reply_of_rows,
)

from memplane import AsyncClient, Mode, Outcome

_LOOKS: Final = 100
"""How often a row is looked for before it counts as lost."""


# --- the two ways -----------------------------------------------------------------------------


class Side(Protocol):
    """A way to a store: how it is asked, and how its answers are read."""

    async def put(self, rows: Sequence[Row]) -> Any:
        """Writes new rows."""
        ...

    async def get(self, row: Row) -> Any:
        """Reads a row."""
        ...

    async def search(self, question: Question) -> Any:
        """Asks for a page of hits."""
        ...

    def name(self, got: Any) -> str:
        """What `get` gave, as `made.name_of_row`; empty where it is not there."""
        ...

    def reply(self, searched: Any) -> Reply:
        """What `search` gave."""
        ...


class ThroughGateway:
    """As an agent does it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def put(self, rows: Sequence[Row]) -> Any:
        written = await self._client.put_many([put_of(row) for row in rows])
        assert all(one.outcome is Outcome.CREATED for one in written), written

    async def get(self, row: Row) -> Any:
        return await self._client.get(ref_of(row))

    async def search(self, question: Question) -> Any:
        return await self._client.scope(LABEL, question.namespace).search(
            vector=question.vector,
            mode=Mode.VECTOR,
            limit=PAGE,
            filter=question.where or None,
        )

    def name(self, got: Any) -> str:
        return "" if got is None else name_of_memory(got)

    def reply(self, searched: Any) -> Reply:
        return reply_of_memories(searched)


class ByLibrary:
    """As somebody does it who needs no gateway."""

    def __init__(self, direct: Direct, *, approximate: bool) -> None:
        self._direct = direct
        self._approximate = approximate

    async def put(self, rows: Sequence[Row]) -> Any:
        await self._direct.put(rows)

    async def get(self, row: Row) -> Any:
        return await self._direct.get(row.id, row.namespace)

    async def search(self, question: Question) -> Any:
        return await self._direct.search(question.vector, question.namespace, PAGE, question.where)

    def name(self, got: Any) -> str:
        return "" if got is None else name_of_found(got)

    def reply(self, searched: Any) -> Reply:
        return reply_of_rows(searched, approximate=self._approximate)


# --- what is measured -------------------------------------------------------------------------


class Operation(Protocol):
    """Something to measure on both sides."""

    name: str
    depth: int
    """How many rows of an answer are owed; 0 means all."""

    def material(self, number: int, /) -> Any:
        """What the call with that number is about; made before the clock runs."""
        ...

    async def call(self, side: Side, material: Any, /) -> Any:
        """What is measured."""
        ...

    async def judge(self, side: Side, material: Any, answer: Any, agreement: Agreement, /) -> None:
        """Holds an answer against what is owed."""
        ...


class Get:
    """Reads one row."""

    name = "get"
    depth = 0

    def __init__(self, made: Made) -> None:
        self.material = made.row

    async def call(self, side: Side, row: Row) -> Any:
        return await side.get(row)

    async def judge(self, side: Side, row: Row, answer: Any, agreement: Agreement) -> None:
        _judge_row(side, row, answer, agreement)


class Search:
    """Asks for a page of the nearest rows of a namespace."""

    depth = PAGE

    def __init__(self, made: Made, *, filtered: bool) -> None:
        self.name = "filtered search" if filtered else "search"
        self.material = functools.partial(made.question, filtered=filtered)
        self._made = made
        self._owed: dict[int, Reply] = {}

    async def call(self, side: Side, question: Question) -> Any:
        return await side.search(question)

    async def judge(
        self, side: Side, question: Question, answer: Any, agreement: Agreement
    ) -> None:
        number = question.number
        if number not in self._owed:
            self._owed[number] = self._made.owed(question)
        agreement.add(f"question {number}", self._owed[number], side.reply(answer))


class Put:
    """Writes a batch of new rows; some of them are read again to judge it."""

    depth = 0

    def __init__(self, made: Made, batch: int) -> None:
        self.name = f"put {batch}"
        self._made, self._batch = made, batch

    def material(self, _number: int) -> Sequence[Row]:
        return self._made.batch(self._batch)

    async def call(self, side: Side, rows: Sequence[Row]) -> Any:
        await side.put(rows)

    async def judge(
        self, side: Side, rows: Sequence[Row], _answer: Any, agreement: Agreement
    ) -> None:
        for row in (rows[0], rows[-1]):
            _judge_row(side, row, await seen(side, row), agreement)


def _judge_row(side: Side, row: Row, got: Any, agreement: Agreement) -> None:
    expected = Reply((Hit(name_of_row(row)),))
    agreement.add(row.name, expected, Reply((Hit(side.name(got)),)))


async def seen(side: Side, row: Row) -> Any:
    """A row that was written: there are stores that show it by and by."""
    for _ in range(_LOOKS):
        if (got := await side.get(row)) is not None:
            return got
    return None
