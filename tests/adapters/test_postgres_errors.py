"""What PostgreSQL, its client library and the way there raise, in the words of the contract."""

from __future__ import annotations

import psycopg
import pytest

from memplane_adapters.contract import Durability, StoreError, StoreReason
from memplane_adapters.postgres import errors
from memplane_adapters.postgres.store import level

R = StoreReason

# Class and error by SQLSTATE: what the server says while a statement is under way.
STATES: list[tuple[str, StoreReason, bool]] = [
    ("08000", R.INTERRUPTED, True),
    ("08001", R.UNAVAILABLE, True),
    ("08004", R.UNAVAILABLE, True),
    ("08006", R.INTERRUPTED, True),
    ("08007", R.INTERRUPTED, True),
    ("08P01", R.PROTOCOL, False),
    ("0A000", R.PROTOCOL, False),
    ("22021", R.PROTOCOL, False),
    ("23505", R.PROTOCOL, False),
    ("25006", R.UNAVAILABLE, True),
    ("25P03", R.INTERRUPTED, True),
    ("25P04", R.TIMEOUT, True),
    ("26000", R.MISCONFIGURED, False),
    ("28000", R.MISCONFIGURED, False),
    ("28P01", R.MISCONFIGURED, False),
    ("3D000", R.MISCONFIGURED, False),
    ("3F000", R.COLLECTION_MISSING, False),
    ("40001", R.UNAVAILABLE, True),
    ("40003", R.INTERRUPTED, True),
    ("40P01", R.UNAVAILABLE, True),
    ("42501", R.MISCONFIGURED, False),
    ("42601", R.PROTOCOL, False),
    ("42703", R.MISCONFIGURED, False),
    ("42P01", R.COLLECTION_MISSING, False),
    ("42P05", R.MISCONFIGURED, False),
    ("42P07", R.MISCONFIGURED, False),
    ("53100", R.EXHAUSTED, False),
    ("53200", R.EXHAUSTED, False),
    ("53300", R.EXHAUSTED, True),
    ("54000", R.ITEM_TOO_LARGE, False),
    ("55P03", R.UNAVAILABLE, True),
    ("57014", R.TIMEOUT, True),
    ("57P01", R.INTERRUPTED, True),
    ("57P02", R.INTERRUPTED, True),
    ("57P03", R.UNAVAILABLE, True),
    ("57P04", R.MISCONFIGURED, False),
    ("57P05", R.INTERRUPTED, True),
    ("58030", R.UNAVAILABLE, True),
    ("58P01", R.DAMAGED, False),
    ("F0000", R.MISCONFIGURED, False),
    ("P0001", R.PROTOCOL, False),
    ("XX000", R.PROTOCOL, False),
    ("XX001", R.DAMAGED, False),
]


@pytest.mark.parametrize(("state", "reason", "retryable"), STATES)
def test_every_sqlstate_has_one_meaning(state: str, reason: StoreReason, retryable: bool) -> None:
    made = errors.from_exception(psycopg.errors.lookup(state)("words"))
    assert (made.reason, made.retryable) == (reason, retryable)
    assert state in str(made)


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (psycopg.OperationalError("consuming input failed: closed"), R.INTERRUPTED, True),
        (psycopg.InterfaceError("the connection is closed"), R.INTERRUPTED, True),
        (psycopg.DataError("text fields cannot contain NUL"), R.PROTOCOL, False),
        (psycopg.ProgrammingError("the query has 2 placeholders"), R.PROTOCOL, False),
        (ConnectionResetError(), R.INTERRUPTED, True),
        (ValueError("surrogates not allowed"), R.PROTOCOL, False),
    ],
    ids=repr,
)
def test_without_a_sqlstate_the_kind_decides(
    error: Exception, reason: StoreReason, retryable: bool
) -> None:
    made = errors.from_exception(error)
    assert (made.reason, made.retryable) == (reason, retryable)


@pytest.mark.parametrize(
    ("words", "reason", "retryable"),
    [
        ("connection refused", R.UNAVAILABLE, True),
        ("connection timeout expired", R.UNAVAILABLE, True),
        ("failed to resolve host 'db'", R.UNAVAILABLE, True),
        ("server closed the connection unexpectedly", R.UNAVAILABLE, True),
        ("FATAL:  the database system is starting up", R.UNAVAILABLE, True),
        ("FATAL:  the database system is shutting down", R.UNAVAILABLE, True),
        ("FATAL:  sorry, too many clients already", R.EXHAUSTED, True),
        ('FATAL:  too many connections for role "ada"', R.EXHAUSTED, True),
        ("FATAL:  remaining connection slots are reserved for roles with", R.EXHAUSTED, True),
        ('FATAL:  password authentication failed for user "ada"', R.MISCONFIGURED, False),
        ("fe_sendauth: no password supplied", R.MISCONFIGURED, False),
        ('FATAL:  role "ada" does not exist', R.MISCONFIGURED, False),
        ('FATAL:  database "memplane" does not exist', R.MISCONFIGURED, False),
        ('FATAL:  no pg_hba.conf entry for host "::1"', R.MISCONFIGURED, False),
        ("SSL error: certificate verify failed", R.MISCONFIGURED, False),
        ("server does not support SSL, but SSL was required", R.MISCONFIGURED, False),
        ("ERROR:  unsupported startup parameter: options", R.MISCONFIGURED, False),
        ("Verbindung abgelehnt", R.UNAVAILABLE, True),
    ],
)
def test_while_connecting_words_decide_and_nothing_was_sent(
    words: str, reason: StoreReason, retryable: bool
) -> None:
    made = errors.from_connecting(psycopg.OperationalError(f"connection failed: {words}"))
    assert (made.reason, made.retryable) == (reason, retryable)


@pytest.mark.parametrize("state", ["57P01", "57014", "08006"])
def test_nothing_is_uncertain_while_connecting(state: str) -> None:
    made = errors.from_connecting(psycopg.errors.lookup(state)("words"))
    assert (made.reason, made.retryable) == (R.UNAVAILABLE, True)


def test_a_bad_url_is_no_outage() -> None:
    made = errors.from_connecting(psycopg.ProgrammingError('invalid URI query parameter: "x"'))
    assert made.reason is R.MISCONFIGURED


def test_our_own_errors_stay_as_they_are() -> None:
    ours = StoreError(R.DAMAGED, "as it was")
    assert errors.from_exception(ours) is ours


def test_a_server_that_takes_no_writes_is_told_apart() -> None:
    assert errors.is_read_only(psycopg.errors.ReadOnlySqlTransaction())
    assert not errors.is_read_only(psycopg.errors.AdminShutdown())
    assert not errors.is_read_only(ValueError())


@pytest.mark.parametrize(
    ("fsync", "synchronous_commit", "reached"),
    [
        ("on", "on", Durability.DISK),
        ("on", "local", Durability.DISK),
        ("on", "remote_write", Durability.DISK),
        ("on", "remote_apply", Durability.DISK),
        ("on", "off", Durability.BUFFERED),
        ("off", "on", Durability.PROCESS),
        ("off", "remote_apply", Durability.PROCESS),
        ("off", "off", Durability.BUFFERED),
    ],
)
def test_what_a_commit_survives(fsync: str, synchronous_commit: str, reached: Durability) -> None:
    assert level(fsync, synchronous_commit) is reached
