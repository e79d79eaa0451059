"""How stores fail. An adapter maps its vendor's errors to these, by a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class StoreReason(StrEnum):
    """What went wrong, in words that the gateway knows what to do with."""

    UNAVAILABLE = "unavailable"
    """Cannot be reached now, or says so itself; nothing was written."""
    INTERRUPTED = "interrupted"
    """Went away before it answered; a write may have taken effect."""
    TIMEOUT = "timeout"
    """Did not answer in time; a write may have taken effect."""
    PROTOCOL = "protocol"
    """Answered what cannot be right."""
    MISCONFIGURED = "misconfigured"
    """Refuses our credentials, or is set up in a way that cannot work."""
    EXHAUSTED = "exhausted"
    """No room or quota left, or too many calls; nothing was written."""
    DAMAGED = "damaged"
    """What is stored cannot be read."""
    IDENTITY_MISMATCH = "identity_mismatch"
    """Holds vectors or terms made by something else than what is configured."""
    COLLECTION_MISSING = "collection_missing"
    """What was there at `ensure` has vanished."""
    ITEM_TOO_LARGE = "item_too_large"
    """One item is above the store's limit."""
    UNSUPPORTED = "unsupported"
    """Not among the declared capabilities."""
    CLOSED = "closed"
    """Used before open or after close."""


class StoreError(Exception):
    """A store could not do what it was asked.

    `retryable` says whether the same call may succeed later without anybody's help, `retry_after`
    after how many seconds. `metadata` is safe to show to callers; the message goes to the log. Of the metadata `why` becomes a
    part of what callers read: an adapter's own words on what to do.
    """

    def __init__(
        self,
        reason: StoreReason,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retryable = retryable
        self.retry_after = retry_after
        self.metadata = dict(metadata or {})
