"""Log what each store call took and how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memplane_adapters.contract import StoreError
from memplane_gateway.layers.stacked import StoreCall

T = TypeVar("T")
_log = logging.getLogger("memplane.store")


class Observe:
    """One debug line a call; failures, with the vendor's own text, as warnings."""

    async def __call__(self, call: StoreCall, proceed: Callable[[], Awaitable[T]]) -> T:
        """Let the call proceed and log it."""
        start = time.perf_counter()
        try:
            result = await proceed()
        except StoreError as error:
            _log.warning(
                "store call failed",
                extra={
                    "store": call.store,
                    "op": call.op,
                    "reason": error.reason.value,
                    "error": str(error),
                    "ms": _ms(start),
                },
            )
            raise
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug(
                "store call",
                extra={
                    "store": call.store,
                    "op": call.op,
                    "items": call.items,
                    "ms": _ms(start),
                },
            )
        return result


def _ms(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)
