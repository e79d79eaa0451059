"""What Redis, its client library and the way there raise, in the words of the contract."""

from __future__ import annotations

import ssl

import pytest
from redis import exceptions as redis
from redis._parsers.base import BaseParser  # what makes exceptions of answers

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.redis.errors import NotConnectedError, from_exchange

R = StoreReason

IN_A_SCRIPT = "ERR Error running script (call to f_6b1bf4): @user_script:58: @user_script: 58: "

ANSWERS: list[tuple[str, StoreReason, bool]] = [
    ("NOAUTH Authentication required.", R.MISCONFIGURED, False),
    ("WRONGPASS invalid username-password pair or user is disabled.", R.MISCONFIGURED, False),
    ("ERR invalid password", R.MISCONFIGURED, False),
    ("NOPERM this user has no permissions to run the 'evalsha' command", R.MISCONFIGURED, False),
    ("NOPERM this user has no permissions to access one of the keys", R.MISCONFIGURED, False),
    ("ERR unknown command `EVALSHA`, with args beginning with: ", R.MISCONFIGURED, False),
    ("ERR Protocol error: unauthenticated multibulk length", R.MISCONFIGURED, False),
    ("ERR DB index is out of range", R.MISCONFIGURED, False),
    ("MOVED 3999 127.0.0.1:6381", R.MISCONFIGURED, False),
    ("ASK 3999 127.0.0.1:6381", R.MISCONFIGURED, False),
    ("CROSSSLOT Keys in request don't hash to the same slot", R.MISCONFIGURED, False),
    ("LOADING Redis is loading the dataset in memory", R.UNAVAILABLE, True),
    ("MASTERDOWN Link with MASTER is down", R.UNAVAILABLE, True),
    ("CLUSTERDOWN The cluster is down", R.UNAVAILABLE, True),
    ("TRYAGAIN Multiple keys request during rehashing of slot", R.UNAVAILABLE, True),
    ("READONLY You can't write against a read only replica.", R.UNAVAILABLE, True),
    ("BUSY Redis is busy running a script.", R.UNAVAILABLE, True),
    ("NOREPLICAS Not enough good replicas to write.", R.UNAVAILABLE, True),
    ("ERR max number of clients reached", R.UNAVAILABLE, True),
    ("OOM command not allowed when used memory > 'maxmemory'.", R.EXHAUSTED, True),
    ("MISCONF Redis is configured to save RDB snapshots, but cannot", R.EXHAUSTED, True),
    ("WRONGTYPE Operation against a key holding the wrong kind of value", R.DAMAGED, False),
    (IN_A_SCRIPT + "-OOM command not allowed when used memory > 'maxmemory'.", R.EXHAUSTED, True),
    (IN_A_SCRIPT + "-READONLY You can't write against a read only replica.", R.UNAVAILABLE, True),
    (IN_A_SCRIPT + "WRONGTYPE Operation against a key", R.DAMAGED, False),
    (IN_A_SCRIPT + "attempt to index a nil value", R.PROTOCOL, False),
    ("ERR Protocol error: invalid bulk length", R.PROTOCOL, False),
    ("EXECABORT Transaction discarded", R.PROTOCOL, False),
]

RAISED: list[tuple[Exception, StoreReason, bool]] = [
    # After something was sent nobody knows.
    (redis.ConnectionError("Connection closed by server."), R.INTERRUPTED, True),
    (ConnectionResetError("reset"), R.INTERRUPTED, True),
    (BrokenPipeError("broken pipe"), R.INTERRUPTED, True),
    (redis.TimeoutError("Timeout reading from h:1"), R.TIMEOUT, True),
    (TimeoutError(), R.TIMEOUT, True),
    (redis.InvalidResponse('Protocol error, got "<" as reply type byte'), R.PROTOCOL, False),
    (redis.DataError("Invalid input"), R.PROTOCOL, False),
    (KeyError("bug"), R.PROTOCOL, False),
    # Before that everybody does.
    (NotConnectedError(redis.ConnectionError("Error 111 connecting to h:1.")), R.UNAVAILABLE, True),
    (NotConnectedError(redis.TimeoutError("Timeout connecting to server")), R.UNAVAILABLE, True),
    (NotConnectedError(TimeoutError()), R.UNAVAILABLE, True),
    (NotConnectedError(OSError(-2, "no such name")), R.UNAVAILABLE, True),
    (NotConnectedError(redis.AuthenticationError("WRONGPASS")), R.MISCONFIGURED, False),
    (NotConnectedError(redis.BusyLoadingError("loading")), R.UNAVAILABLE, True),
    (NotConnectedError(ssl.SSLCertVerificationError("self-signed")), R.MISCONFIGURED, False),
    (NotConnectedError(redis.ConnectionError(ssl.SSLError("version"))), R.MISCONFIGURED, False),
    (NotConnectedError(FileNotFoundError("ca.pem")), R.MISCONFIGURED, False),
    (NotConnectedError(KeyError("bug")), R.PROTOCOL, False),
]


@pytest.mark.parametrize(("text", "reason", "retryable"), ANSWERS)
def test_answers(text: str, reason: StoreReason, retryable: bool) -> None:
    error: Exception = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    check(from_exchange(error), reason, retryable=retryable)


@pytest.mark.parametrize(("error", "reason", "retryable"), RAISED)
def test_what_is_raised(error: Exception, reason: StoreReason, retryable: bool) -> None:
    check(from_exchange(error), reason, retryable=retryable)


def test_each_caller_gets_an_error_of_its_own() -> None:
    """Layers write into it."""
    one = redis.ConnectionError("gone")
    assert from_exchange(one) is not from_exchange(one)


def check(error: StoreError, reason: StoreReason, *, retryable: bool) -> None:
    assert (error.reason, error.retryable) == (reason, retryable)
