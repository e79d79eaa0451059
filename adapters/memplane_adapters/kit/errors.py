"""Failures that adapters over a server have in common."""

from __future__ import annotations

from memplane_adapters.contract import StoreError, StoreReason


class CollectionExistsError(StoreError):
    """Somebody else has made the collection meanwhile."""

    def __init__(self, message: str) -> None:
        super().__init__(StoreReason.PROTOCOL, message)


def closed() -> StoreError:
    """The store is not open."""
    return StoreError(StoreReason.CLOSED, "the store is not open")


def missing(name: str) -> StoreError:
    """A collection is not there any more."""
    return StoreError(StoreReason.COLLECTION_MISSING, f"there is no collection {name}")


def after_write(error: StoreError) -> StoreError:
    """What a failure means that comes when something may have been written."""
    if error.reason in (StoreReason.UNAVAILABLE, StoreReason.EXHAUSTED):
        return StoreError(StoreReason.INTERRUPTED, f"after a write: {error}", retryable=True)
    return error
