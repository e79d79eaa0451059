"""Deletes that are sent again take effect once (see `notes`).

After a try that broke off the next one deletes what is still there, but not what was created since the
first one had begun: for that the call is over. Of what the first one had deleted it says MISSING, for
nobody knows more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from memplane_gateway.clock import Clock
from memplane_gateway.errors import MemplaneError, is_ambiguous
from memplane_gateway.memory.calls.notes import CallNotes, Notebook
from memplane_gateway.memory.model import Caller, Operation, Outcome, Removal, Written

_OUTCOMES = {Outcome.DELETED: "d", Outcome.MISSING: "m", Outcome.SPOOLED: "s"}
_UNKNOWN = "-"
_LETTERS = {letter: outcome for outcome, letter in _OUTCOMES.items()}

Delete: TypeAlias = Callable[[list[Removal]], Awaitable[list[Written]]]


class RemovalNotes:
    """Carries deletes out once; what is noted of a call is a letter an item."""

    def __init__(self, notebook: Notebook, clock: Clock, *, shared: bool = False) -> None:
        """`shared` says that other gateways may use the control store."""
        self._notes = CallNotes(notebook, clock, Operation.DELETE, _is_over, shared=shared)

    async def once(
        self, caller: Caller, removals: Sequence[Removal], delete: Delete
    ) -> list[Written]:
        """Delete, unless that was done before; `delete` does it for some of the call's items.

        Raises what `CallNotes.begin` raises.
        """
        if not caller.request_id:
            return await delete(list(removals))
        note, since = await self._notes.begin(caller, _UNKNOWN * len(removals))
        written = {
            index: Written(removals[index].address, _LETTERS[letter], replayed=True)
            for index, letter in enumerate(note.outcomes)
            if letter != _UNKNOWN
        }
        left = [index for index in range(len(removals)) if index not in written]
        if left:
            wanted = [replace(removals[index], began=since) for index in left]
            try:
                done = await delete(wanted)
            except MemplaneError as error:
                if not is_ambiguous(error):  # else the note goes on to say that it runs
                    self._notes.end_soon(note, note.outcomes, known=True)
                raise
            written.update(zip(left, done, strict=True))
            outcomes = _letters([written[index] for index in range(len(removals))])
            known = not any(each.error is not None and is_ambiguous(each.error) for each in done)
            self._notes.end_soon(note, outcomes, known=known)
        return [written[index] for index in range(len(removals))]

    async def close(self) -> None:
        """Let what is being noted end."""
        await self._notes.close()


def _is_over(outcomes: str) -> bool:
    return _UNKNOWN not in outcomes


def _letters(written: Sequence[Written]) -> str:
    """What to remember; not what was refused or failed, which a retry decides anew."""
    return "".join(
        _UNKNOWN if each.outcome is None else _OUTCOMES[each.outcome] for each in written
    )
