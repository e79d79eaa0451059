"""Try again what is safe to try again, and only while the store can bear it.

Reads are tried again when the store could not be reached, went away before it answered, or asked for
patience; writes only when the store says that nothing was written. What may have been written
(TIMEOUT, INTERRUPTED) is the caller's to try again, with its request id. Not tried again: `open`,
`ensure` and `ping`, since a route's watch repeats them by itself; `stats`, figures for people; items
of a batch that failed alone.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from memplane_adapters.contract import StoreError, StoreReason
from memplane_gateway.deadline import remaining
from memplane_gateway.layers.stacked import StoreCall
from memplane_gateway.layers.timeout import BACKGROUND_SECONDS

T = TypeVar("T")
_log = logging.getLogger("memplane.store")

ATTEMPTS = 4
"""The first one included."""
FIRST_PAUSE_SECONDS = 0.05
"""The longest first pause; each further one may be twice as long."""
LONGEST_PAUSE_SECONDS = 1.0
"""Except where the store names a longer one."""

READS = frozenset({"fetch", "get", "query", "scan", "count"})
NOTHING_WRITTEN = frozenset({StoreReason.UNAVAILABLE, StoreReason.EXHAUSTED})
IN_TROUBLE = NOTHING_WRITTEN | {StoreReason.INTERRUPTED}


class Budget:
    """How many retries a store can bear: a bucket of tokens, as in gRPC's retry throttling.

    Each failure takes a token, each success gives a part of one back; with half of them or fewer
    there are no retries. So a short fault is bridged, and a store that is down gets one call a call.
    """

    MOST = 10.0
    BACK = 0.1

    def __init__(self) -> None:
        self._tokens = self.MOST

    @property
    def allows(self) -> bool:
        """Whether a retry is left."""
        return self._tokens > self.MOST / 2

    def failed(self) -> None:
        """A call has failed because the store is in trouble."""
        self._tokens = max(0.0, self._tokens - 1)

    def succeeded(self) -> None:
        """A call has succeeded."""
        self._tokens = min(self.MOST, self._tokens + self.BACK)


class Retry:
    """Retries the calls of one store, whose budget it keeps."""

    def __init__(self) -> None:
        self._budget = Budget()

    async def __call__(self, call: StoreCall, proceed: Callable[[], Awaitable[T]]) -> T:
        """Let the call proceed until it succeeds or trying again makes no sense."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                result = await proceed()
            except StoreError as error:
                pause = self._pause(call, error, attempt)
                if pause is None:
                    raise
                _log.info(
                    "store call tried again",
                    extra={
                        "store": call.store,
                        "op": call.op,
                        "attempt": attempt,
                        "reason": error.reason.value,
                        "error": str(error),
                    },
                )
            else:
                self._budget.succeeded()
                return result
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt has no pause behind it")

    def _pause(self, call: StoreCall, error: StoreError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt; None when there must be none."""
        if not error.retryable or error.reason not in IN_TROUBLE:
            return None
        self._budget.failed()
        if not is_safe(call, error) or attempt == ATTEMPTS or not self._budget.allows:
            return None
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        # Full jitter, so that callers who failed together do not come back together.
        pause = (error.retry_after or 0.0) + random.uniform(0, longest)  # noqa: S311 (no secret)
        left = remaining()
        return pause if pause < (BACKGROUND_SECONDS if left is None else left) else None


def is_safe(call: StoreCall, error: StoreError) -> bool:
    """Whether a call that failed in this way can be sent again without doing something twice."""
    if call.writes:
        return error.reason in NOTHING_WRITTEN
    return call.op in READS and error.reason in IN_TROUBLE
