"""An ingest as data: what is sent in which batch, what is answered, and when to go on. No I/O."""

from __future__ import annotations

import collections
import random
import re
from dataclasses import dataclass
from typing import Final

from memplane import _replies, _requests, _values
from memplane._enums import Durability, Outcome
from memplane._errors import (
    Code,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    MemplaneError,
    Unavailable,
    Violation,
)
from memplane._ids import uuid7
from memplane._inputs import Put
from memplane._models import Memory, WriteResult, WriteResults
from memplane.v1 import memory_service_pb2 as pb

AHEAD: Final = 4
"""Batches that are sent and not yet answered, at most."""

MAX_FAILURES: Final = 1000
_FIRST_TRIES: Final = 8
_LATER_TRIES: Final = 40
"""Once it has got anywhere: about a minute, in which a gateway is started anew."""
_LONGEST_PAUSE_SECONDS: Final = 2.0
_LONGEST_ASKED_SECONDS: Final = 60.0
_WORTH_RESUMING: Final = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED)
_PLACE: Final = re.compile(r"\bputs\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class IngestAck:
    """What became of a batch of an ingest."""

    sequence: int
    """Its number in the ingest, from 1 on."""
    start: int
    """Which of the given memories was its first, from 0 on."""
    results: WriteResults
    """One result a memory, in order."""


@dataclass(frozen=True, slots=True)
class IngestFailure:
    """A memory that was refused."""

    index: int
    """Which of the given memories it was, from 0 on."""
    result: WriteResult
    """Its ref and its error."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of an ingest."""

    ingest_id: str
    """With this one and the same memories it can be taken up again."""
    answered: int = 0
    """How many memories were answered, the refused ones too."""
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    spooled: int = 0
    """How many wait in the gateway's outbox."""
    replayed: int = 0
    """How many of all these had been written by an earlier stream."""
    refused: int = 0
    """How many were not written."""
    skipped: int = 0
    """How many were in batches that were not sent, since they had been answered before (`after`)."""
    failures: tuple[IngestFailure, ...] = ()
    """Those that were refused, the first 1,000."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some memories on their way."""

    sequence: int
    start: int
    puts: list[pb.MemoryPut]

    @property
    def request(self) -> pb.IngestMemoriesRequest:
        """It as a message."""
        batch = pb.IngestBatch(sequence=self.sequence, puts=self.puts)
        return pb.IngestMemoriesRequest(batch=batch)


class Batcher:
    """Cuts memories into batches, always the same ones for the same memories."""

    def __init__(self, batch_items: int) -> None:
        """Raises InvalidArgument."""
        if not 1 <= _values.whole(batch_items, "batch_items") <= _requests.MAX_ITEMS:
            limits = f"must be 1 to {_requests.MAX_ITEMS}, not {batch_items}"
            raise InvalidArgument.at("batch_items", limits)
        self._items = batch_items
        self._sequence = 0
        self._start = 0
        self._puts: list[pb.MemoryPut] = []
        self._bytes = 0
        self._refs: set[bytes] = set()

    def add(self, given: Put | Memory) -> Batch | None:
        """Takes a memory; returns the batch that is full without it.

        Raises InvalidArgument when it is none.
        """
        index = self._start + len(self._puts)
        put, size = _requests.sized_put(given, f"puts[{index}]")
        ref = put.memory.ref.SerializeToString(deterministic=True) if put.memory.ref.key else b""
        full = self._puts and (
            len(self._puts) >= self._items
            or self._bytes + size > _requests.MAX_BYTES
            or ref in self._refs  # of one batch the later would be refused
        )
        batch = self.rest() if full else None
        self._puts.append(put)
        self._bytes += size
        if ref:
            self._refs.add(ref)
        return batch

    def rest(self) -> Batch | None:
        """What is not in a batch yet."""
        if not self._puts:
            return None
        self._sequence += 1
        batch = Batch(self._sequence, self._start, self._puts)
        self._start += len(self._puts)
        self._puts, self._bytes, self._refs = [], 0, set()
        return batch


class Tries:
    """How often a stream is opened without getting anywhere."""

    def __init__(self) -> None:
        self._tries = 0
        self._most = _FIRST_TRIES

    def begin_anew(self) -> None:
        """It got on."""
        self._tries = 0
        self._most = _LATER_TRIES

    def pause(self, error: MemplaneError, left: float | None) -> float:
        """Seconds to wait before another stream, of those that are left.

        Raises the error when there is to be none, DeadlineExceeded when there is no time for it.
        """
        self._tries += 1
        if not _is_worth_resuming(error) or self._tries > self._most:
            raise error
        pause = min(_LONGEST_PAUSE_SECONDS, 0.1 * 2.0**self._tries) * random.uniform(0.5, 1.0)  # noqa: S311
        pause = max(pause, min(error.retry_after or 0.0, _LONGEST_ASKED_SECONDS))
        if left is not None and pause >= left:
            raise DeadlineExceeded(f"the timeout of the whole passed: {error.message}") from error
        return pause


class Ingest:
    """How an ingest fares, over all its streams."""

    def __init__(
        self, ingest_id: str | None, min_durability: Durability | str | None, after: int
    ) -> None:
        """Raises InvalidArgument."""
        if _values.whole(after, "after") < 0:
            raise InvalidArgument.at("after", f"must not be negative, but is {after}")
        self._after = after
        self.id = uuid7() if ingest_id is None else _values.text(ingest_id, "ingest_id")
        level = _requests.durability_number(min_durability)
        self.opening = pb.IngestMemoriesRequest(
            opening=pb.IngestOpening(ingest_id=self.id, min_durability=level)
        )
        self._waiting: collections.deque[Batch] = collections.deque()
        self._sent = 0
        """How many of those that wait were sent over the present stream."""
        self._ahead = 1
        self._outcomes: collections.Counter[Outcome] = collections.Counter()
        self._failures: list[IngestFailure] = []
        self._answered = self._refused = self._replayed = self._skipped = 0
        self._tries = Tries()

    def opened(self, response: pb.IngestMemoriesResponse | None) -> None:
        """A stream was opened; what was not answered before goes over it again."""
        if response is None or not response.HasField("opened"):
            raise _ended()
        self._sent = 0
        self._ahead = 1  # so that a refusal is heard, and not the write that it broke off

    @property
    def has_room(self) -> bool:
        """Whether another batch may be taken before the next answer."""
        return len(self._waiting) < AHEAD

    @property
    def waits(self) -> bool:
        """Whether an answer is to come."""
        return bool(self._waiting)

    def take(self, batch: Batch) -> None:
        """Takes a batch, which is to be sent and then waits for its answer, unless it had one."""
        if batch.sequence <= self._after:
            self._skipped += len(batch.puts)
        else:
            self._waiting.append(batch)

    def due(self) -> list[Batch]:
        """The batches to send now."""
        due = list(self._waiting)[self._sent : self._ahead]
        self._sent += len(due)
        return due

    def answered(self, response: pb.IngestMemoriesResponse | None) -> IngestAck:
        """An answer came to the batch that waits longest."""
        if response is None:
            raise _ended()
        ack, batch = response.ack, self._waiting[0]
        if ack.sequence != batch.sequence:
            raise Internal(f"the gateway answered batch {ack.sequence}, not {batch.sequence}")
        results = _replies.write_results(ack.results, len(batch.puts), ack.consistency_token)
        self._waiting.popleft()
        self._sent -= 1
        self._ahead = AHEAD
        self._tries.begin_anew()
        self._count(results, batch.start)
        return IngestAck(batch.sequence, batch.start, results)

    def pause(self, error: MemplaneError, left: float | None) -> float:
        """As in Tries; what is raised has a note on how far the ingest came."""
        try:
            return self._tries.pause(error, left)
        except MemplaneError as last:
            raise self.noted(last) from last.__cause__

    def noted(self, error: MemplaneError) -> MemplaneError:
        """An error that ends the ingest, with a note on how far it came."""
        note = f"{self._answered} memories of the ingest {self.id!r} were answered before"
        if _is_worth_resuming(error):
            note += "; with this ingest_id and the same memories it can be taken up again"
        error.add_note(note)
        return error

    def result(self) -> IngestResult:
        """What became of it."""
        return IngestResult(
            ingest_id=self.id,
            answered=self._answered,
            created=self._outcomes[Outcome.CREATED],
            updated=self._outcomes[Outcome.UPDATED],
            unchanged=self._outcomes[Outcome.UNCHANGED],
            spooled=self._outcomes[Outcome.SPOOLED],
            replayed=self._replayed,
            refused=self._refused,
            skipped=self._skipped,
            failures=tuple(self._failures),
        )

    def _count(self, results: WriteResults, start: int) -> None:
        self._answered += len(results)
        for index, result in enumerate(results, start):
            if result.error is None:
                self._outcomes[result.outcome] += 1
                self._replayed += result.replayed
                continue
            self._refused += 1
            _place(result.error, start)
            if len(self._failures) < MAX_FAILURES:
                self._failures.append(IngestFailure(index, result))


def _place(error: MemplaneError, start: int) -> None:
    """Makes a place in a batch one among all that is ingested."""

    def moved(text: str) -> str:
        return _PLACE.sub(lambda found: f"puts[{start + int(found[1])}]", text)

    error.message = moved(error.message)
    error.violations = tuple(
        Violation(moved(each.field), each.description) for each in error.violations
    )
    error.args = (error.message,)


def _is_worth_resuming(error: MemplaneError) -> bool:
    if error.reason == "CLIENT_CLOSED":
        return False
    return error.code in _WORTH_RESUMING or error.retry_after is not None


def _ended() -> MemplaneError:
    return Unavailable("the gateway ended the stream before its last answer", reason="STREAM_CUT")
