"""Calls that walk far, carried out once (see `notes`), from where an earlier try of them came.

After a try that broke off the next one goes on with the first one's progress: under the bound that it
began with, so that what was written since stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from memplane_adapters.contract import StoreError
from memplane_gateway.clock import Clock
from memplane_gateway.errors import MemplaneError, is_ambiguous
from memplane_gateway.memory.calls.notes import CallNotes, Notebook
from memplane_gateway.memory.model import Caller, Operation


class Resumable(Protocol):
    """How far a call came; a run changes it as it goes."""

    @property
    def over(self) -> bool:
        """Whether nothing is left for this call to do."""
        ...

    def encode(self) -> str:
        """As a note."""
        ...


ProgressT = TypeVar("ProgressT", bound=Resumable)
ReceiptT = TypeVar("ReceiptT")


class OnceNotes(Generic[ProgressT]):
    """Carries the calls of one operation out once."""

    def __init__(
        self,
        notebook: Notebook,
        clock: Clock,
        operation: Operation,
        decode: Callable[[str], ProgressT],
        *,
        shared: bool = False,
    ) -> None:
        """`decode` is the way back from `Resumable.encode`.

        `shared` says that other gateways may use the control store.
        """
        self.operation = operation
        self._decode = decode
        self._notes = CallNotes(
            notebook, clock, operation, lambda note: decode(note).over, shared=shared
        )

    async def once(
        self, caller: Caller, progress: ProgressT, run: Callable[[ProgressT], Awaitable[ReceiptT]]
    ) -> ReceiptT:
        """Run from here on, or from where an earlier try came. Raises as `CallNotes.begin`."""
        if not caller.request_id:
            return await run(progress)
        note, _ = await self._notes.begin(caller, progress.encode())
        progress = self._decode(note.outcomes)
        if progress.over:
            return await run(progress)
        known = False
        try:
            receipt = await run(progress)
            known = True
        except (MemplaneError, StoreError) as error:
            known = not is_ambiguous(error)  # else the note goes on to say that it runs
            raise
        finally:
            self._notes.end_soon(note, progress.encode(), known=known)
        return receipt

    async def close(self) -> None:
        """Let what is being noted end."""
        await self._notes.close()
