"""Failures that adapters over a server have in common."""

from __future__ import annotations

from typing import Final

from memplane_adapters.contract import StoreError, StoreReason

_RETRYABLE: Final = frozenset(
    {StoreReason.UNAVAILABLE, StoreReason.INTERRUPTED, StoreReason.TIMEOUT}
)


def failure(reason: StoreReason, message: str, *, retry_after: float | None = None) -> StoreError:
    """An error that is retryable if its reason passes by itself."""
    return StoreError(reason, message, retryable=reason in _RETRYABLE, retry_after=retry_after)


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


def causes(error: BaseException) -> list[BaseException]:
    """An error and what led to it, also what only stands in its arguments."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or each in found:
            continue
        found.append(each)
        waiting += [each.__cause__, each.__context__]
        waiting += [one for one in each.args if isinstance(one, BaseException)]
    return found
