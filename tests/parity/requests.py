"""What is asked: requests as data, the same for every store, short to read when one fails."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from tests.parity.plain import plain, ranking
from tests.parity.sides import Side
from tests.parity.vectors import texts, vector

from memplane import (
    UNSET,
    Delete,
    Episode,
    Expression,
    Kind,
    Outcome,
    Put,
    Ref,
    Update,
    WriteResult,
    WriteResults,
    _replies,
)
from memplane.v1 import memory_service_pb2 as svc
from memplane_adapters.conformance.memories.trees import expression
from memplane_adapters.contract import Filter

INGEST_ITEMS = 2
DEFAULT_LIMIT = 50

Place = tuple[str, ...]


class Shown:
    """A dataclass whose repr leaves out what is as usual."""

    def __repr__(self) -> str:
        parts = []
        for each in dataclasses.fields(self):  # type: ignore[arg-type]  # only dataclasses inherit
            value = getattr(self, each.name)
            usual = each.default_factory() if callable(each.default_factory) else each.default
            if type(value) is not type(usual) or value != usual:
                parts.append(f"{each.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Name(Shown):
    """A memory: its kind, its place below the example's root, and its key."""

    key: str
    kind: Kind = Kind.SEMANTIC
    place: Place = ("",)

    def ref(self, side: Side) -> Ref:
        """The ref on a side."""
        return Ref(self.kind, side.namespace(self.place), self.key)


@dataclass(frozen=True, repr=False)
class Condition(Shown):
    """A precondition. `back` asks for the etag of so many versions ago."""

    back: int | None = None
    if_absent: bool = False
    if_present: bool = False

    def given(self, side: Side, ref: Ref) -> dict[str, Any]:
        """The arguments of a write."""
        made: dict[str, Any] = {}
        if self.if_absent:
            made["if_absent"] = True
        if self.if_present:
            made["if_present"] = True
        if self.back is not None:
            made["if_match"] = side.versions.etag(ref, back=self.back)
        return made


NO_CONDITION = Condition()


@dataclass(frozen=True, repr=False)
class Item(Shown):
    """A memory to put."""

    name: Name
    text: str = ""
    vector: str = ""
    texts: tuple[tuple[str, str], ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    value: Any = UNSET
    importance: float | None = None
    pinned: bool = False
    episode: Episode | None = None
    ttl: float | None = None
    condition: Condition = NO_CONDITION

    def put(self, side: Side) -> Put:
        """As a client writes it."""
        ref = self.name.ref(side)
        return Put(
            ref,
            text=self.text,
            attributes=self.attributes,
            value=self.value,
            episode=self.episode if self.name.kind is Kind.EPISODIC else None,
            importance=self.importance,
            pinned=self.pinned,
            vector=vector(self.vector),
            indexed_texts=texts(self.texts),
            ttl=self.ttl,
            **self.condition.given(side, ref),
        )


@dataclass(frozen=True, repr=False)
class Change(Shown):
    """An update of a memory."""

    name: Name
    text: str | None = None
    texts: tuple[tuple[str, str], ...] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    value: Any = UNSET
    importance: float | None = None
    pinned: bool | None = None
    ttl: float | None = None
    condition: Condition = NO_CONDITION

    def update(self, side: Side) -> Update:
        """As a client writes it."""
        ref = self.name.ref(side)
        given = self.condition.given(side, ref)
        return Update(
            ref,
            text=self.text,
            attributes=self.attributes,
            remove_attributes=self.remove,
            value=self.value,
            importance=self.importance,
            pinned=self.pinned,
            indexed_texts=None if self.texts is None else texts(self.texts),
            ttl=self.ttl,
            if_match=given.get("if_match"),
        )


@dataclass(frozen=True, repr=False)
class Removal(Shown):
    """A delete of a memory."""

    name: Name
    condition: Condition = NO_CONDITION

    def delete(self, side: Side) -> Delete:
        """As a client writes it."""
        ref = self.name.ref(side)
        given = self.condition.given(side, ref)
        return Delete(
            ref, if_match=given.get("if_match"), if_present=given.get("if_present", False)
        )


@dataclass(frozen=True, repr=False)
class PutMany(Shown):
    """Puts, with a request id that is the same for all stores; every other one goes over a stream."""

    items: Sequence[Item]
    number: int = 0
    atomic: bool = False

    async def ask(self, side: Side) -> Any:
        """Send it."""
        puts = side.once(self, lambda: [item.put(side) for item in self.items])
        request_id = side.request_id("put", self.number)
        if self.number % 2 == 0 and not self.atomic:
            results = await _ingested(side, puts, request_id)
        else:
            results = await side.door.client.put_many(
                puts, atomic=self.atomic, request_id=request_id
            )
        return plain(results, side.versions)


async def _ingested(side: Side, puts: Sequence[Put], ingest_id: str) -> WriteResults:
    results: list[WriteResult] = []
    await side.door.client.ingest(
        puts,
        ingest_id=ingest_id,
        batch_items=INGEST_ITEMS,
        on_ack=lambda ack: results.extend(ack.results),
    )
    return WriteResults(results)


@dataclass(frozen=True, repr=False)
class UpdateMany(Shown):
    """Updates."""

    changes: Sequence[Change]
    number: int = 0

    async def ask(self, side: Side) -> Any:
        """Send it."""
        updates = side.once(self, lambda: [change.update(side) for change in self.changes])
        return plain(
            await side.door.client.update_many(
                updates, request_id=side.request_id("update", self.number)
            ),
            side.versions,
        )


@dataclass(frozen=True, repr=False)
class DeleteMany(Shown):
    """Deletes."""

    removals: Sequence[Removal]
    number: int = 0
    atomic: bool = False

    async def ask(self, side: Side) -> Any:
        """Send it."""
        deletes = side.once(self, lambda: [removal.delete(side) for removal in self.removals])
        return plain(
            await side.door.client.delete_many(
                deletes, atomic=self.atomic, request_id=side.request_id("delete", self.number)
            ),
            side.versions,
        )


@dataclass(frozen=True, repr=False)
class Where(Shown):
    """What is looked at."""

    kind: Kind = Kind.SEMANTIC
    place: Place = ("",)
    exact_namespace: bool = False
    filter: Filter | None = None

    def given(self) -> dict[str, Any]:
        """The arguments of a read."""
        tree: Expression | None = None if self.filter is None else expression(self.filter)
        return {"kind": self.kind, "exact_namespace": self.exact_namespace, "filter": tree}


@dataclass(frozen=True, repr=False)
class Erasure(Shown):
    """A purge, or what one would delete."""

    where: Where
    dry_run: bool = False
    number: int = 0

    async def ask(self, side: Side) -> Any:
        """Send it; the receipt in the form of the results of other writes."""
        done = await side.scope(self.where.place).purge(
            **self.where.given(),
            dry_run=self.dry_run,
            request_id=side.request_id("purge", self.number),
        )
        outcome = Outcome.UNCHANGED if self.dry_run else Outcome.DELETED
        receipt = {"ref": None, "outcome": outcome, "error": None, "version": done.count}
        return [{**receipt, "replayed": done.replayed}]


def _written(response: Any) -> Any:
    written = _replies.Written()
    written.add(response.results, len(response.results), "")
    return written.results()


READERS: Mapping[str, Any] = {
    "PutMemories": (svc.PutMemoriesResponse, _written),
    "UpdateMemories": (svc.UpdateMemoriesResponse, _written),
    "DeleteMemories": (svc.DeleteMemoriesResponse, _written),
    "GetMemories": (svc.GetMemoriesResponse, _replies.memories),
    "ListMemories": (svc.ListMemoriesResponse, lambda page: _replies.page(page).memories),
    "CountMemories": (svc.CountMemoriesResponse, _replies.count),
    "SearchMemories": (svc.SearchMemoriesResponse, lambda response: response),
}
"""By rpc: the type of its response, and what reads it."""


@dataclass(frozen=True)
class Hostile:
    """A message as it is, without what a client would make of it or refuse."""

    method: str
    message: Message

    async def ask(self, side: Side) -> Any:
        """Send it, its namespaces moved below the example's own label."""
        message = type(self.message)()
        message.CopyFrom(self.message)
        _rooted(message, side.label)
        raw = await side.door.send(self.method, message.SerializeToString())
        response_type, read = READERS[self.method]
        response = read(response_type.FromString(raw))
        if self.method == "SearchMemories":
            return self._searched(response, side)
        return plain(response, side.versions)

    def _searched(self, response: svc.SearchMemoriesResponse, side: Side) -> list[Any]:
        assert isinstance(self.message, svc.SearchMemoriesRequest)
        return [
            ranking(
                _replies.search_result(result),
                side.versions,
                limit=min(query.page_size or DEFAULT_LIMIT, 1000),
                floor=query.min_relevance if query.HasField("min_relevance") else None,
            )
            for query, result in zip(self.message.queries, response.results, strict=True)
        ]


def _rooted(message: Any, label: str) -> None:
    """Put the example's label in front of every namespace."""
    for each in message.DESCRIPTOR.fields:
        if each.name == "namespace" and each.is_repeated:
            labels = [label, *message.namespace]
            message.ClearField("namespace")
            message.namespace.extend(labels)
        elif each.message_type is None or each.message_type.GetOptions().map_entry:
            continue
        elif each.is_repeated:
            for item in getattr(message, each.name):
                _rooted(item, label)
        elif message.HasField(each.name):
            _rooted(getattr(message, each.name), label)
