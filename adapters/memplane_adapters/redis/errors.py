"""What goes wrong with Redis, in the words of the contract; pure functions.

A write that Redis answers with an error has changed nothing: its scripts write after all that can be
refused. Where no answer comes, nobody knows.
"""

from __future__ import annotations

import re
from typing import Final

from redis import exceptions as redis

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.kit.errors import causes, failure
from memplane_adapters.kit.tls import is_distrust

UNSENT: Final = (
    redis.BusyLoadingError,
    redis.MasterDownError,
    redis.ClusterDownError,
    redis.TryAgainError,
    redis.ReadOnlyError,
)
"""Answers that mean "not now"; nothing was done."""
_REFUSED: Final = (
    redis.AuthenticationError,
    redis.AuthorizationError,
    redis.NoPermissionError,
    redis.AuthenticationWrongNumberOfArgsError,
)
_BY_CODE: Final = {
    "OOM": StoreReason.EXHAUSTED,
    "MISCONF": StoreReason.EXHAUSTED,  # it cannot write its files: the disk is full
    "NOREPLICAS": StoreReason.UNAVAILABLE,
    "READONLY": StoreReason.UNAVAILABLE,  # a master that has just become a replica
    "BUSY": StoreReason.UNAVAILABLE,
    "UNKILLABLE": StoreReason.UNAVAILABLE,
    "WRONGTYPE": StoreReason.DAMAGED,
    "NOPERM": StoreReason.MISCONFIGURED,
    "max number of clients": StoreReason.UNAVAILABLE,
    "unknown command": StoreReason.MISCONFIGURED,
    "DB index is out of range": StoreReason.MISCONFIGURED,
    "invalid DB index": StoreReason.MISCONFIGURED,
    "unauthenticated": StoreReason.MISCONFIGURED,
    "permissions to": StoreReason.MISCONFIGURED,
    "only one database": StoreReason.MISCONFIGURED,
}
_CODE: Final = re.compile("|".join(rf"\b{words}\b" for words in _BY_CODE))
"""Older servers put what a script has met into a sentence of their own."""


class NotConnectedError(Exception):
    """Nothing was sent; `error` is why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def from_connecting(error: Exception) -> StoreError:
    """The store's error for one that came before anything was sent."""
    for cause in causes(error):
        if is_distrust(cause) or isinstance(cause, FileNotFoundError):
            return failure(StoreReason.MISCONFIGURED, f"TLS: {cause}")
    known = _from_answer(error)
    if known is not None:
        return known
    if isinstance(error, OSError | redis.RedisError):
        return failure(StoreReason.UNAVAILABLE, _said(error))
    return failure(StoreReason.PROTOCOL, _said(error))


def from_exchange(error: Exception) -> StoreError:
    """The store's error for what came instead of an answer, or as one."""
    if isinstance(error, NotConnectedError):
        return from_connecting(error.error)
    known = _from_answer(error)
    if known is not None:
        return known
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return failure(StoreReason.TIMEOUT, _said(error))
    if isinstance(error, redis.ConnectionError | OSError):
        return failure(StoreReason.INTERRUPTED, _said(error))
    return failure(StoreReason.PROTOCOL, _said(error))


def _from_answer(error: Exception) -> StoreError | None:
    """What Redis says by itself."""
    message = _said(error)
    if isinstance(error, _REFUSED):
        return failure(StoreReason.MISCONFIGURED, message)
    if isinstance(error, UNSENT):
        return failure(StoreReason.UNAVAILABLE, message)
    if isinstance(error, redis.OutOfMemoryError):
        return _exhausted(message)
    if isinstance(error, redis.AskError | redis.ClusterCrossSlotError):  # and MOVED
        return failure(StoreReason.MISCONFIGURED, f"this is a node of a Redis Cluster: {message}")
    if isinstance(error, redis.InvalidResponse):
        return failure(StoreReason.PROTOCOL, message)
    if isinstance(error, redis.ResponseError) or type(error) is redis.ConnectionError:
        reason = _by_words(error)
        if reason is StoreReason.EXHAUSTED:
            return _exhausted(message)
        if reason is not None:
            return failure(reason, message)
    if isinstance(error, redis.ResponseError):
        return failure(StoreReason.PROTOCOL, message)
    return None


def _by_words(error: Exception) -> StoreReason | None:
    found = _CODE.search(str(error))
    return None if found is None else _BY_CODE[found[0]]


def _exhausted(message: str) -> StoreError:
    return StoreError(StoreReason.EXHAUSTED, message, retryable=True)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
