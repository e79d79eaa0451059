"""An adoption under way: rows out of their collection, memories into a gateway."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from memplane import (
    UNSET,
    AsyncClient,
    Code,
    Episode,
    EpisodeType,
    FailedPrecondition,
    IngestAck,
    Kind,
    Put,
    Ref,
)
from memplane_gateway.adopting import (
    ABSENT,
    Adoption,
    ForeignFacts,
    Mapped,
    Reading,
    RowProblem,
    Vectors,
    opened,
)
from memplane_gateway.cli.bar import Bar

SHOWN: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Writing:
    """How memories are written."""

    overwrite: bool = False
    """Whether over those that are there under the same key."""
    batch_items: int = 200
    lines: bool = True
    """Whether it is said how far it is where there is no terminal."""


@dataclass(slots=True)
class Report:
    """What became of an adoption."""

    facts: ForeignFacts
    reading: Reading
    dry_run: bool = False
    shown: list[Put] = field(default_factory=list)
    """Of a dry run, the first memories."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """How many memories were written or found, by outcome."""
    facts_after: ForeignFacts | None = None
    """None for a dry run."""

    @property
    def changed(self) -> bool:
        """Whether the collection was written to meanwhile, so that rows may have been missed."""
        if self.facts_after is None:
            return False
        return not self.facts.rows == self.reading.read == self.facts_after.rows


async def rehearse(adoption: Adoption, rows: int | None, *, lines: bool) -> Report:
    """What the first so many rows would become; None: all rows. Nothing is written anywhere."""
    async with opened(adoption.source) as collection:
        facts = await collection.facts()
        reading = Reading(adoption, collection, facts)
        report = Report(facts, reading, dry_run=True)
        with Bar(facts.rows if rows is None else min(rows, facts.rows), lines=lines) as progress:
            async for mapped in reading.memories(rows):
                if len(report.shown) < SHOWN:
                    report.shown.append(to_put(mapped, adoption, if_absent=False))
                progress.at(reading.read, reading.read - reading.refused)
        return report


async def carry_out(adoption: Adoption, writing: Writing, target: str, seconds: float) -> Report:
    """Writes what all rows become. Raises SourceError and MemplaneError."""
    async with (
        opened(adoption.source) as collection,
        AsyncClient(target, timeout=seconds) as client,
    ):
        facts = await collection.facts()
        if adoption.mapping.vector is Vectors.KEEP:
            await _check_vectors(client, adoption, facts)
        reading = Reading(adoption, collection, facts)
        rows: deque[str] = deque()
        """The ids of those whose memories wait for their answer: a few batches."""
        outcomes: Counter[str] = Counter()

        async def puts() -> AsyncIterator[Put]:
            async for mapped in reading.memories():
                rows.append(mapped.row)
                yield to_put(mapped, adoption, if_absent=not writing.overwrite)

        with Bar(facts.rows, lines=writing.lines) as progress:

            def on_ack(ack: IngestAck) -> None:
                for result in ack.results:
                    row = rows.popleft()
                    if result.error is None:
                        outcomes[result.outcome.value] += 1
                    elif result.error.code is Code.ALREADY_EXISTS and not writing.overwrite:
                        outcomes["already_there"] += 1
                    else:
                        reading.refuse(RowProblem(row, "", result.error.message))
                progress.at(reading.read, outcomes.total())

            await client.ingest(puts(), batch_items=writing.batch_items, on_ack=on_ack)
        named = {name: outcomes[name] for name in ("created", "already_there")}
        return Report(
            facts,
            reading,
            outcomes=named | dict(outcomes),
            facts_after=await collection.facts(),
        )


async def _check_vectors(client: AsyncClient, adoption: Adoption, facts: ForeignFacts) -> None:
    """Raises FailedPrecondition when the vectors cannot be those of the route."""
    embedding = (await client.capabilities())[adoption.kind.value].embedding
    if embedding is None:
        raise FailedPrecondition("the gateway does not know the dimension of the route's vectors")
    if facts.dimension != embedding.dimension:
        found = "no vectors" if facts.dimension is None else f"{facts.dimension} dimensions"
        raise FailedPrecondition(
            f"vector: keep: the collection has {found}, the route {embedding.dimension} "
            f"({embedding.provider}/{embedding.model}); say vector: embed"
        )


def to_put(mapped: Mapped, adoption: Adoption, *, if_absent: bool) -> Put:
    """A mapped memory as the client takes it."""
    value: Any = UNSET if mapped.value is ABSENT else mapped.value
    return Put(
        Ref(Kind(adoption.kind.value), mapped.namespace, mapped.key),
        text=mapped.text,
        attributes=mapped.attributes,
        value=value,
        episode=_episode(mapped),
        importance=mapped.importance,
        vector=mapped.vector,
        if_absent=if_absent,
    )


def _episode(mapped: Mapped) -> Episode | None:
    episode = mapped.episode
    if episode is None or episode.event_time is None:
        return None
    given: dict[str, Any] = {
        name: getattr(episode, name)
        for name in ("input", "output")
        if getattr(episode, name) is not ABSENT
    }
    return Episode(
        type=EpisodeType(episode.type.value),
        event_time=_EPOCH + timedelta(microseconds=episode.event_time),
        session_id=episode.session_id,
        agent_id=episode.agent_id,
        actor=episode.actor,
        **given,
    )
