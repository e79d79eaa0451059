"""The gateway's own state, in a key-value store of its own kind.

Embedded by default, so that one gateway alone has it. Gateways beside each other share one on a server;
while that is down, a gateway that has started goes on with what it knows, and only what cannot be had
without it is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from dataclasses import dataclass, replace

from memplane_adapters.contract import (
    Address,
    Collection,
    Entry,
    KeyValueStore,
    Kind,
    Reached,
    Scope,
    StoreError,
    StoreReason,
    VectorStore,
    Write,
    WriteStatus,
    reached_of,
)
from memplane_gateway.clock import Clock
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.memory.write.shared_leases import SharedLeases, control_failure
from memplane_gateway.outbox.entries import Limits, SpooledCodec
from memplane_gateway.outbox.outbox import Outbox

_SECRET = Address("", Kind.CONTROL, ("gateway",), "page-token-secret")
_SECRET_BYTES = 32
_PATIENCE_SECONDS = 3.0

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

    def __init__(
        self,
        store: KeyValueStore,
        clock: Clock,
        *,
        name: str,
        adapter: str,
        shared: bool,
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.shared = shared
        """Whether other gateways may be on the same store."""
        self.opened = False
        """Whether the store could be opened; what is wrong since then may be mended at its server."""
        self.tokens = PageTokens()
        """Can be used once this is ready."""
        self._store = store
        self._clock = clock
        self._ready = False
        self._getting_ready = asyncio.Lock()

    async def get_ready(self) -> None:
        """Connect and learn what is needed from then on, once. Raises StoreError."""
        async with self._getting_ready:
            if self._ready:
                return
            await self._store.open()
            self.opened = True
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._store.ping()  # hears, too, of a set-up that would forget things
                    self.tokens.secret = await self.page_token_secret()
            except TimeoutError as error:
                raise StoreError(StoreReason.TIMEOUT, "no answer") from error
            self._ready = True

    def identity(self) -> str:
        """What tells this control store from others, once it is ready; says nothing of its secret."""
        assert self.tokens.secret, "ready"
        return hashlib.blake2b(b"control", key=self.tokens.secret, digest_size=16).hexdigest()

    async def ping(self) -> Reached | None:
        """What a write there survives; None when it does not answer."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return reached_of(await self._store.ping())
        except (StoreError, TimeoutError):
            return None

    async def serve_route(self) -> None:
        """What every route needs of it before it serves. Raises UNAVAILABLE."""
        try:
            await self.get_ready()
        except StoreError as error:
            raise control_failure(error) from error

    def leases(self, place: str) -> SharedLeases | None:
        """Leases that other gateways respect, of the memories in a place; None when there are none."""
        return SharedLeases(self._store, self._clock, place=place) if self.shared else None

    def outbox(
        self, kind: Kind, place: str, codec: SpooledCodec, limits: Limits | None
    ) -> Outbox | None:
        """Where the writes of a route to a place wait while its store is down.

        Without `limits` it is closed. None where several gateways may be: an outbox is one gateway's.
        """
        if self.shared:
            return None
        return Outbox(kind, place, self._store, self._clock, codec=codec, limits=limits)

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
        store, another place) the collection is made. Raises StoreError as `ensure` does, and
        UNAVAILABLE when the control store fails.
        """
        await self.serve_route()
        try:
            (noted,) = await self._store.get([place.note])
        except StoreError as error:
            raise control_failure(error) from error
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
