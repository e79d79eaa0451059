"""How long memories are kept: policies, and the tasks that they come down to. Times are microseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from memplane_adapters.contract import All, Condition, Filter, Kind, Op, from_micros
from memplane_gateway.memory.model import Record
from memplane_gateway.memory.questions import NamespaceQuery
from memplane_gateway.memory.search.weights import importance

Pattern: TypeAlias = tuple[str | None, ...]
"""The first labels of namespaces; None is any one label."""

Rank: TypeAlias = tuple[float, int, tuple[str, ...], str]


class Cause(StrEnum):
    """Why a memory goes."""

    EXPIRED = "expired"
    MAX_AGE = "max_age"
    MAX_IDLE = "max_idle"
    MAX_ITEMS = "max_items"
    LEFTOVERS = "leftovers"
    """No memory, but a point that a write left which was killed."""


class Drop(StrEnum):
    """Which memories go first where there are too many."""

    OLDEST = "oldest"
    LEAST_IMPORTANT = "least_important"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is to be kept of the memories of a kind in the namespaces that begin with a pattern."""

    kind: Kind
    pattern: Pattern = ()
    max_items: int | None = None
    """Most memories below each namespace of the pattern's length."""
    drop: Drop = Drop.OLDEST
    max_age: int | None = None
    """Since they happened (EPISODIC) or were created."""
    max_idle: int | None = None
    """Since they were written last."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that a sweep does to the memories of a kind."""

    kind: Kind
    cause: Cause
    pattern: Pattern = ()
    limit: int = 0
    """How old, how long idle, how many; or for how long what has expired is kept."""
    drop: Drop = Drop.OLDEST

    @property
    def query(self) -> NamespaceQuery:
        """The namespaces of the pattern's length that it is about."""
        return NamespaceQuery(self.kind, b"", prefix=self.pattern, max_depth=len(self.pattern))

    def filter(self, now: int) -> Filter:
        """What those match that go, pinned ones aside; not for EXPIRED."""
        loose = Condition(("@pinned",), Op.EQ, operand=False)
        field = self._field
        if field is None:
            return loose
        return All((Condition((field,), Op.LTE, from_micros(now - self.limit)), loose))

    def takes(self, record: Record, now: int) -> bool:
        """Whether a memory goes by itself, whatever others there are: too old, or idle for too long."""
        if self._field is None or record.content.pinned:
            return False
        since = record.update_time
        if self.cause is Cause.MAX_AGE:
            since = record.time if self.kind is Kind.EPISODIC else record.create_time
        return since <= now - self.limit and self.query.matches(record.address.namespace)

    @property
    def _field(self) -> str | None:
        if self.cause is Cause.MAX_IDLE:
            return "@update_time"
        if self.cause is Cause.MAX_AGE:
            return "@event_time" if self.kind is Kind.EPISODIC else "@create_time"
        return None


def tasks_of(policies: Iterable[Policy], kind: Kind, *, grace: int = 0) -> list[Task]:
    """All that a sweep does to a kind, in order; what has expired is kept for `grace`.

    What has expired goes first, then what is too old or idle for too long, by one policy after the
    other; what is left counts where there are too many.
    """
    ours = [policy for policy in policies if policy.kind is kind]
    tasks = [Task(kind, Cause.EXPIRED, limit=grace)]
    for policy in ours:
        for cause, limit in ((Cause.MAX_AGE, policy.max_age), (Cause.MAX_IDLE, policy.max_idle)):
            if limit is not None:
                tasks.append(Task(kind, cause, policy.pattern, limit))
    tasks += [
        Task(kind, Cause.MAX_ITEMS, policy.pattern, policy.max_items, policy.drop)
        for policy in ours
        if policy.max_items is not None
    ]
    if kind is not Kind.PROCEDURAL:  # which has no further texts
        tasks.append(Task(kind, Cause.LEFTOVERS))
    return tasks


def rank(task: Task, record: Record) -> Rank:
    """What sorts memories by who goes first where there are too many."""
    weight = 0.0
    if task.drop is Drop.LEAST_IMPORTANT:
        weight = importance(record.content.importance)
    return weight, record.time, record.address.namespace, record.address.key
