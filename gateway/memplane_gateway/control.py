"""The gateway's own state, in a key-value store of its own kind."""

from __future__ import annotations

import secrets

from memplane_adapters.contract import (
    Address,
    Entry,
    KeyValueStore,
    Kind,
    Write,
    WriteStatus,
)
from memplane_gateway.clock import Clock

_SECRET = Address("", Kind.CONTROL, ("gateway",), "page-token-secret")
_SECRET_BYTES = 32


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
        now = self._clock.now()
        entry = Entry(
            address=_SECRET,
            revision=self._clock.revision(),
            update_time=now,
            time=now,
            record=secrets.token_bytes(_SECRET_BYTES),
        )
        (result,) = await self._store.put([Write(entry, expected=0)])
        if result.status is WriteStatus.APPLIED:
            return entry.record
        (stored,) = await self._store.get([_SECRET])
        assert stored is not None, "what stood in the way of the write is there"
        return stored.record
