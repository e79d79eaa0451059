"""Say of a write that may have taken effect all the same that it is `ambiguous`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from memplane_adapters.contract import StoreError, WriteResult
from memplane_gateway.errors import AMBIGUOUS, UNKNOWN_OUTCOME
from memplane_gateway.layers.stacked import StoreCall

T = TypeVar("T")


class Ambiguity:
    """The one place with that rule: for calls that fail, and for items that fail alone."""

    async def __call__(self, call: StoreCall, proceed: Callable[[], Awaitable[T]]) -> T:
        """Let the call proceed, and mark what nobody knows the outcome of."""
        if not call.writes:
            return await proceed()
        try:
            result = await proceed()
        except StoreError as error:
            _mark(error)
            raise
        for item in result if isinstance(result, list) else ():
            if isinstance(item, WriteResult) and item.error is not None:
                _mark(item.error)
        return result


def _mark(error: StoreError) -> None:
    if error.reason in UNKNOWN_OUTCOME:
        error.metadata.update(AMBIGUOUS)
