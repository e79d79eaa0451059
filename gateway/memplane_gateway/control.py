"""The gateway's own state, in a key-value store of its own kind."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace

from memplane_adapters.contract import (
    Address,
    Collection,
    Entry,
    KeyValueStore,
    Kind,
    Scope,
    StoreError,
    VectorStore,
    Write,
    WriteStatus,
)
from memplane_gateway.clock import Clock

_SECRET = Address("", Kind.CONTROL, ("gateway",), "page-token-secret")
_SECRET_BYTES = 32

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a route keeps its kind: the name of its store, and a hash that tells places apart."""

    kind: Kind
    store: str
    hash: str

    @property
    def note(self) -> Address:
        """Where it is noted that the collection was made there."""
        return Address("", Kind.CONTROL, ("made", self.kind.value, self.store), self.hash)


class ControlStore:
    """What the gateway remembers between starts, and shares with gateways on the same store."""

    def __init__(self, store: KeyValueStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def open(self) -> None:
        """Connect. Raises StoreError."""
        await self._store.open()

    async def close(self) -> None:
        """Let go."""
        await self._store.close()

    async def page_token_secret(self) -> bytes:
        """The key of page tokens: made once, the same for every gateway on this store."""
        entry = self._entry(_SECRET, secrets.token_bytes(_SECRET_BYTES))
        (result,) = await self._store.put([Write(entry, expected=0)])
        if result.status is WriteStatus.APPLIED:
            return entry.record
        (stored,) = await self._store.get([_SECRET])
        assert stored is not None, "what stood in the way of the write is there"
        return stored.record

    async def read(self, address: Address) -> bytes | None:
        """What was written there, expired or not. Raises StoreError."""
        (stored,) = await self._store.get([address])
        return None if stored is None else stored.record

    async def write(
        self,
        address: Address,
        record: bytes,
        *,
        revision: int,
        expected: int,
        expire_time: int | None = None,
    ) -> bool:
        """Write in place of the revision `expected` (0: of nothing); False when another is there.

        Raises StoreError.
        """
        entry = replace(self._entry(address, record), revision=revision, expire_time=expire_time)
        (result,) = await self._store.put([Write(entry, expected)])
        if result.error is not None:
            raise result.error
        return result.status is WriteStatus.APPLIED

    async def sweep(self, namespace: tuple[str, ...], *, max_revision: int) -> int:
        """Delete what was written below a namespace up to a revision; says how much."""
        scope = Scope("", Kind.CONTROL, alive_at=0, namespace=namespace)
        return await self._store.delete_where(scope, max_revision=max_revision)

    async def make_ready(self, store: VectorStore, collection: Collection, place: Place) -> None:
        """Have a store make a collection ready, or check it, and remember that it was made there.

        So a collection that vanishes while the gateway is down is COLLECTION_MISSING at the next
        start, and not made anew in silence. It is a note and no promise: without it (a new control
        store, another place) the collection is made. Raises StoreError as `ensure` does.
        """
        (noted,) = await self._store.get([place.note])
        await store.ensure(replace(collection, made=noted is not None))
        if noted is not None:
            return
        try:
            await self._store.put([Write(self._entry(place.note, b""), expected=0)])
        except StoreError as error:
            _log.warning(
                "could not note that a collection was made",
                extra={"store": place.store, "kind": place.kind.value, "error": str(error)},
            )

    def _entry(self, address: Address, record: bytes) -> Entry:
        now = self._clock.now()
        return Entry(
            address=address,
            revision=self._clock.revision(),
            update_time=now,
            time=now,
            record=record,
        )
