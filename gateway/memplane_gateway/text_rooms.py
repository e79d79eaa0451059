"""Where the further texts of a route are: a collection that is made when the first one is written.

So a route without any pays nothing for them. Whether there are any is noted in the control store, as of
every collection that was made; in a new control store the rows tell. Beside other gateways "there are
none" is only known for a while, and then looked up again; who writes the first ones waits until it has
been forgotten everywhere.
"""

from __future__ import annotations

import asyncio

from memplane_adapters.contract import Collection, StoreError, StoreReason, VectorStore
from memplane_gateway.control import ControlStore, Place
from memplane_gateway.memory.write.shared_leases import control_failure, elapsed

TRUSTED_SECONDS = 2.0
"""How long a gateway goes by having seen that there are no further texts."""

_MARGIN = 1.25
"""Clocks of two machines may run so differently, by far."""


class TextRoom:
    """The room of one route (see `further.Room`)."""

    def __init__(
        self, store: VectorStore, collection: Collection, control: ControlStore, place: Place
    ) -> None:
        self._store = store
        self._collection = collection
        self._control = control
        self._place = place
        self._asked = False
        """Whether the collection is there to be asked."""
        self._noted: float | None = None
        """Since when it is known to be noted that it was made."""
        self._none_until = 0.0
        self._making = asyncio.Lock()

    async def look(self) -> None:
        """Find out whether there are any. Raises what making a route ready raises."""
        began = elapsed()
        found = await self._is_noted()
        if not found:
            stats = await self._store.stats(self._collection.kind)
            found = stats.rows != 0
        if found:
            await self._make()
        else:
            self._none_until = began + TRUSTED_SECONDS

    async def in_use(self) -> bool:
        """Whether there may be any; if so, it is there to be asked."""
        if self._asked:
            return True
        if not self._control.shared or elapsed() < self._none_until:
            return False
        began = elapsed()
        try:
            found = await self._control.read(self._place.note) is not None
        except StoreError:
            # Nobody can say: then it is made here, and asked.
            await self._store.ensure(self._collection)
            self._asked = True
            return True
        if found:
            await self._make()
        else:
            self._none_until = began + TRUSTED_SECONDS
        return found

    async def make(self) -> None:
        """Have it there to be written to, once no gateway takes it for granted that there are none."""
        if self._noted is None:
            await self._make()
        if self._control.shared and self._noted is not None:
            await asyncio.sleep(self._noted + TRUSTED_SECONDS * _MARGIN - elapsed())

    async def _make(self) -> None:
        async with self._making:
            if self._noted is not None and self._asked:
                return
            await self._control.make_ready(self._store, self._collection, self._place)
            if self._control.shared and not await self._is_noted():
                raise control_failure(
                    StoreError(StoreReason.UNAVAILABLE, "the note of a collection was not kept")
                )
            self._asked = True
            self._noted = elapsed()

    async def _is_noted(self) -> bool:
        try:
            return await self._control.read(self._place.note) is not None
        except StoreError as error:
            raise control_failure(error) from error
