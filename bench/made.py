"""Rows to measure stores with, questions about them, and what an exact store answers."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from bench.agreement import Reply
from bench.agreement import Row as Hit
from bench.direct import NAMESPACE, Fields, Found, Row, Vector

from memplane import Kind, Memory, Put, Ref, SearchResult

DIMENSION: Final = 384
PAGE: Final = 10
LABEL: Final = "bench"
ROWS_OF_USER: Final = 250
TOPICS: Final = ("tea", "refund", "invoice", "train", "garden", "meeting", "recipe", "deadline")

_DEEPER: Final = 2 * PAGE
"""So many hits of an exact answer are known, so that a tie at its end is seen as one."""
_TIME: Final = datetime(2026, 11, 1, tzinfo=UTC).isoformat()
_QUESTIONS: Final = 100
_SEED: Final = 7


def rows_from(first: int, count: int) -> list[Row]:
    """Rows with these numbers; the same call makes the same."""
    vectors = np.random.default_rng((_SEED, first)).standard_normal((count, DIMENSION), np.float32)
    return [_row(number, vector) for number, vector in enumerate(vectors, first)]


def _row(number: int, vector: Vector) -> Row:
    user, place = divmod(number, ROWS_OF_USER)
    topic, key = TOPICS[place % len(TOPICS)], f"note-{number:07}"
    return Row(
        name=key,
        namespace=f"user-{user}",
        text=f"Note {number}: asked about the {topic} again, and what came of it the week before.",
        vector=vector,
        metadata={
            "topic": topic,
            "number": number,
            # What a gateway keeps of a memory by itself.
            "kind": Kind.SEMANTIC.value,
            "key": key,
            "revision": 1,
            "create_time": _TIME,
            "update_time": _TIME,
        },
    )


def ref_of(row: Row) -> Ref:
    """Which memory a row is."""
    return Ref(Kind.SEMANTIC, (LABEL, row.namespace), row.name)


def put_of(row: Row) -> Put:
    """A row as the gateway takes it."""
    attributes = {name: row.metadata[name] for name in ("topic", "number")}
    return Put(ref_of(row), text=row.text, vector=row.vector, attributes=attributes)


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for."""

    number: int
    vector: Vector
    namespace: str
    where: Fields
    """Empty: not filtered."""


@dataclass(frozen=True)
class Made:
    """The rows that are read, in namespaces of `ROWS_OF_USER`."""

    rows: Sequence[Row]
    _batches: Iterator[int] = field(default_factory=itertools.count)

    def batch(self, size: int) -> list[Row]:
        """Rows that are not there yet, in other namespaces; always of one size."""
        start = -(-len(self.rows) // ROWS_OF_USER) * ROWS_OF_USER
        return rows_from(start + next(self._batches) * size, size)

    def row(self, number: int) -> Row:
        """One of the rows; neighbours are of different users."""
        return self.rows[number * 7919 % len(self.rows)]

    def question(self, number: int, *, filtered: bool) -> Question:
        """One of a hundred, near a row of the namespace that it asks in."""
        number %= _QUESTIONS
        row, other = self.row(number), self.rows[number * 104_729 % len(self.rows)]
        near = (row.vector + 0.9 * other.vector).astype(np.float32)
        where = {"topic": row.metadata["topic"]} if filtered else {}
        return Question(number, near, row.namespace, where)

    def owed(self, question: Question) -> Reply:
        """What an exact store answers, and some hits more."""
        wanted = {NAMESPACE: question.namespace, **question.where}.items()
        fitting = [at for at, row in enumerate(self.rows) if wanted <= row.fields.items()]
        vector = question.vector.astype(np.float64)
        scores = self._unit[fitting] @ (vector / np.linalg.norm(vector))
        best = sorted(zip(scores.tolist(), fitting, strict=True), reverse=True)[:_DEEPER]
        return Reply(tuple(_hit(name_of_row(self.rows[at]), score) for score, at in best))

    @functools.cached_property
    def _unit(self) -> npt.NDArray[np.float64]:
        matrix = np.array([row.vector for row in self.rows], np.float64)
        unit: npt.NDArray[np.float64] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        return unit


def name_of_row(row: Row) -> str:
    """Tells rows apart by all that was written."""
    return _name(row.namespace, row.name, row.text, row.metadata)


def name_of_memory(memory: Memory) -> str:
    """As `name_of_row`."""
    return _name(memory.namespace[-1], memory.key, memory.text, memory.attributes)


def name_of_found(found: Found) -> str:
    """As `name_of_row`."""
    fields = found.fields
    return _name(str(fields.get(NAMESPACE)), str(fields.get("key")), found.text, fields)


def _name(namespace: str, key: str, text: str, fields: Mapping[str, Any]) -> str:
    # A store that knows floats alone gives 3.0 back.
    return f"{namespace}/{key} {fields.get('topic')} {float(fields.get('number', -1)):g}: {text}"


def reply_of_memories(result: SearchResult) -> Reply:
    """What a gateway answered."""
    hits = (Hit(name_of_memory(hit.memory), hit.relevance, hit.score) for hit in result)
    return Reply(tuple(hits), result.approximate, result.truncated)


def reply_of_rows(found: Sequence[Found], *, approximate: bool) -> Reply:
    """What a library answered."""
    return Reply(tuple(_hit(name_of_found(one), one.score) for one in found), approximate)


def _hit(name: str, score: float | None) -> Hit:
    return Hit(name, None if score is None else (score + 1) / 2, score)
