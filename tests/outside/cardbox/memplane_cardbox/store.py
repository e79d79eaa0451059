"""The vector promise over a dictionary, searched card by card."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from memplane_adapters.contract import (
    Address,
    Capabilities,
    Collection,
    Count,
    Cursor,
    Delete,
    Durability,
    Filter,
    Hit,
    Kind,
    Order,
    Page,
    Point,
    Query,
    QueryResult,
    Scan,
    Scope,
    Stats,
    Stored,
    StoreError,
    StoreReason,
    Vector,
    Write,
    WriteResult,
    WriteStatus,
    cosine_relevance,
    rank_key,
)

from .filters import PUSHDOWN, predicate

_BATCH = 16
_APPLIED = WriteResult(WriteStatus.APPLIED)
_MISSING = WriteResult(WriteStatus.MISSING)

CAPABILITIES = Capabilities(
    filters=PUSHDOWN,
    ordered_scan=True,
    vector=True,
    exact_search=True,
    read_your_writes=True,
    vectorless=True,
    durability=(Durability.BUFFERED,),
    isolation="key",
    max_batch_items=_BATCH,
    max_item_bytes=1 << 20,
)


class CardboxStore:
    """Cards by address. They are gone with the process, which BUFFERED says."""

    capabilities = CAPABILITIES

    def __init__(self, room: int) -> None:
        self._room = room
        self._cards: dict[Address, Point] = {}
        self._collections: dict[Kind, Collection] = {}
        self._open = False

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def ping(self) -> Durability:
        self._check_open()
        return Durability.BUFFERED

    async def ensure(self, collection: Collection) -> None:
        """That a collection was made before says nothing here: a box is new with each process."""
        self._check_open()
        there = self._collections.get(collection.kind, collection)
        made_by, wanted = _maker(there), _maker(collection)
        if made_by != wanted and any(one.kind is collection.kind for one in self._cards):
            raise StoreError(
                StoreReason.IDENTITY_MISMATCH,
                f"the cards of {collection.kind} were made by something else",
                metadata={"stored": made_by, "configured": wanted},
            )
        self._collections[collection.kind] = collection

    async def upsert(self, writes: Sequence[Write[Point]]) -> list[WriteResult]:
        self._check_open()
        _check_unconditional(writes)
        if len(writes) > _BATCH:
            raise StoreError(StoreReason.UNSUPPORTED, f"more than {_BATCH} cards at once")
        return [self._write(write.entry) for write in writes]

    async def delete(self, deletes: Sequence[Delete]) -> list[WriteResult]:
        self._check_open()
        _check_unconditional(deletes)
        gone = [self._cards.pop(delete.address, None) for delete in deletes]
        return [_MISSING if card is None else _APPLIED for card in gone]

    async def fetch(
        self, addresses: Sequence[Address], *, vectors: bool = False
    ) -> list[Stored | None]:
        self._check_open()
        cards = [self._cards.get(address) for address in addresses]
        return [None if card is None else _stored(card, vectors=vectors) for card in cards]

    async def scan(self, scan: Scan) -> Page:
        self._check_open()
        matches = predicate(scan.filter)
        cards = iter(_behind(self._in_order(scan), scan))
        rows: list[Stored] = []
        last: Point | None = None
        scanned = size = 0
        for last in itertools.islice(cards, scan.budget):
            scanned += 1
            if matches(last.fields):
                rows.append(_stored(last, vectors=scan.vectors))
                size += len(last.record)
            if len(rows) == scan.limit or size >= scan.max_bytes:
                break
        more = next(cards, None) is not None
        return Page(tuple(rows), _cursor(last, scan.order) if last and more else None, scanned)

    async def query(self, query: Query) -> QueryResult:
        self._check_open()
        if query.vector is None or query.terms:
            raise StoreError(StoreReason.UNSUPPORTED, "the box is searched by vector only")
        refusal = self._refusal(query.scope.kind, query.vector)
        if refusal is not None:
            raise refusal
        matches = predicate(query.filter)
        cards = [
            card
            for card in self._under(query.scope)
            if card.vector is not None and matches(card.fields)
        ]
        ranked = sorted(zip(cards, _scores(cards, query.vector), strict=True), key=_rank)
        hits: list[Hit] = []
        size = 0
        for card, score in ranked[: query.limit]:
            hits.append(Hit(card.record, card.vector if query.vectors else None, score))
            size += len(card.record)
            if size >= query.max_bytes:
                break
        cut = len(hits) < min(len(ranked), query.limit)
        return QueryResult(tuple(hits), approximate=False, scanned=len(cards), cut=cut)

    async def count(self, scope: Scope, filter: Filter | None = None) -> Count:
        self._check_open()
        matches = predicate(filter)
        verdicts = [matches(card.fields) for card in self._under(scope)]
        return Count(sum(verdicts), len(verdicts))

    async def delete_where(
        self, scope: Scope, filter: Filter | None = None, *, max_revision: int
    ) -> int:
        self._check_open()
        matches = predicate(filter)
        doomed = [
            card.address
            for card in self._under(scope)
            if card.revision <= max_revision and matches(card.fields)
        ]
        for address in doomed:
            del self._cards[address]
        return len(doomed)

    async def stats(self, kind: Kind) -> Stats:
        self._check_open()
        rows = sum(address.kind is kind for address in self._cards)
        return Stats(rows=rows, size_bytes=None)

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(StoreReason.CLOSED, "the box is closed")

    def _write(self, card: Point) -> WriteResult:
        refusal = None if card.vector is None else self._refusal(card.address.kind, card.vector)
        largest = self.capabilities.max_item_bytes
        if len(card.record) > largest:
            limit = {"limit": str(largest), "size": str(len(card.record))}
            refusal = StoreError(StoreReason.ITEM_TOO_LARGE, "too much for a card", metadata=limit)
        if card.address not in self._cards and len(self._cards) >= self._room:
            refusal = StoreError(StoreReason.EXHAUSTED, "the box is full")
        if refusal is not None:
            return WriteResult(WriteStatus.FAILED, refusal)
        self._cards[card.address] = card
        return _APPLIED

    def _refusal(self, kind: Kind, vector: Vector) -> StoreError | None:
        """Why a vector cannot stand beside those of its kind."""
        collection = self._collections.get(kind)
        if collection is None:
            return StoreError(StoreReason.COLLECTION_MISSING, f"nothing was ensured for {kind}")
        dimension = collection.embedding.dimension
        if vector.shape == (dimension,):
            return None
        return StoreError(
            StoreReason.IDENTITY_MISMATCH,
            f"vectors of {kind} have {dimension} numbers",
            metadata={"stored": str(dimension), "configured": "x".join(map(str, vector.shape))},
        )

    def _under(self, scope: Scope) -> Iterator[Point]:
        """Cards of a scope that are alive."""
        for address, card in self._cards.items():
            alive = scope.shows(card.expire_time)
            if alive and scope.covers(address):
                yield card

    def _in_order(self, scan: Scan) -> list[Point]:
        by_place = scan.order is Order.PLACE
        cards = sorted(
            self._under(scan.scope),
            key=lambda card: card.address.place,
            reverse=by_place and scan.descending,
        )
        if not by_place:
            # Sorting is stable: cards of one time stay in the order of their places.
            way = -1 if scan.descending else 1
            cards.sort(key=lambda card: way * _value(card, scan.order))
        return cards


def _maker(collection: Collection) -> str:
    embedding = collection.embedding
    return f"{embedding}, {embedding.metric}, {embedding.normalized}, {collection.analyzer}"


def _check_unconditional(changes: Iterable[Write[Point] | Delete]) -> None:
    if any(change.expected is not None for change in changes):
        raise StoreError(StoreReason.UNSUPPORTED, "the box cannot compare before it writes")


def _stored(card: Point, *, vectors: bool) -> Stored:
    return Stored(card.record, card.vector if vectors else None)


def _value(card: Point, order: Order) -> int:
    return {Order.PLACE: 0, Order.TIME: card.time, Order.UPDATE_TIME: card.update_time}[order]


def _cursor(card: Point, order: Order) -> Cursor:
    return Cursor(_value(card, order), *card.address.place)


def _behind(cards: list[Point], scan: Scan) -> Iterable[Point]:
    """The cards behind the cursor of a walk."""
    after = scan.after
    if after is None:
        return cards
    way = -1 if scan.descending else 1

    def passed(card: Point) -> bool:
        value, place = way * _value(card, scan.order), card.address.place
        bound = (after.namespace, after.key)
        if scan.order is Order.PLACE:
            return place >= bound if scan.descending else place <= bound
        return (value, place) <= (way * after.value, bound)

    return itertools.dropwhile(passed, cards)


def _scores(cards: Sequence[Point], vector: Vector) -> list[float]:
    """Cosines, in float64: the same vector gets the same score wherever it stands."""
    if not cards:
        return []
    rows = np.stack([card.vector for card in cards if card.vector is not None])
    products = rows.astype(np.float64) * vector.astype(np.float64)
    scores: list[float] = np.clip(products.sum(axis=1), -1.0, 1.0).tolist()
    return scores


def _rank(found: tuple[Point, float]) -> tuple[float, int, tuple[str, ...], str]:
    card, score = found
    return rank_key(cosine_relevance(score), card.time, card.address.place)
