"""One call's writes: by the store where it can be, kept for it where it is down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from memplane_adapters.contract import Address, StoreError
from memplane_gateway.deadline import reserved
from memplane_gateway.errors import Code, MemplaneError, Reason, from_store, is_ambiguous, is_outage
from memplane_gateway.memory.model import Put, Removal, Update, Written

ItemT = TypeVar("ItemT", Put, Update, Removal)
Write: TypeAlias = Callable[[Sequence[ItemT]], Awaitable[list[Written]]]

RESERVE_SECONDS = 0.5
"""Of a call's time, what is left for the outbox when the store has not answered by then; at most a
fifth of it."""


@dataclass(slots=True)
class Attempt:
    """What has become of the items of a call so far, by their places."""

    left: dict[int, MemplaneError | StoreError | None]
    """Those that the store did not take, and what it said if it was asked."""
    written: dict[int, Written] = field(default_factory=dict)
    failure: StoreError | MemplaneError | None = None
    """What fails the call as a whole, unless an item of it was written."""

    async def directly(
        self,
        indexes: list[int],
        items: list[ItemT],
        write: Write[ItemT],
        *,
        atomic: bool,
        keep: bool,
    ) -> None:
        """Have the store write; with `keep`, what it cannot because it is down is left."""
        try:
            with reserved(RESERVE_SECONDS if keep else 0):
                done = await write(items)
        except StoreError as error:
            if not (keep and is_outage(error)):
                raise
            self.left.update(dict.fromkeys(indexes, error))
            return
        together = keep and atomic and any(is_outage(written.error) for written in done)
        for index, written in zip(indexes, done, strict=True):
            if together or (keep and is_outage(written.error)):
                self.left[index] = written.error
            else:
                self.written[index] = written

    async def spooled(
        self,
        indexes: list[int],
        items: list[ItemT],
        write: Write[ItemT],
    ) -> None:
        """Have the outbox keep what is left; what it cannot decide stays left."""
        failure: MemplaneError | None = None
        try:
            done = await write(items)
        except MemplaneError as error:
            failure = error
            done = [Written(item.address, error=error) for item in items]
        for index, written in zip(indexes, done, strict=True):
            before = self.left.pop(index)
            if written.error is not None and before is not None and is_ambiguous(before):
                # Of what may have been written the store's own word counts.
                self.left[index] = before
            elif written.error is not None and (failure or is_outage(written.error)):
                self.left[index] = written.error
            else:
                self.written[index] = written
        self.failure = max(self.left.values(), key=_gravity, default=None)

    def results(self, addresses: Sequence[Address], route: str) -> list[Written]:
        """What became of each item. Raises what fails the call when nothing was written."""
        if not self.written and self.failure is not None:
            raise self.failure
        for index, error in self.left.items():
            said = from_store(error, route) if isinstance(error, StoreError) else error
            self.written[index] = Written(addresses[index], error=said or _behind(route))
        return [self.written[index] for index in range(len(addresses))]


def _gravity(error: StoreError | MemplaneError | None) -> bool:
    """What may have been written is told before what was not."""
    return error is not None and is_ambiguous(error)


def _behind(route: str) -> MemplaneError:
    return MemplaneError(
        Code.UNAVAILABLE,
        Reason.BACKEND_UNAVAILABLE,
        f"{route}: an earlier write of this memory waits in the outbox, and min_durability asks for "
        "the store; nothing was written; try again later",
        metadata={"route": route},
        retry_after=1.0,
    )
