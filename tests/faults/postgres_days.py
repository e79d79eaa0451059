"""What PostgreSQL's own tools know, for its bad days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.faults.process import until

_PATIENCE: Final = 60.0
_TABLES: Final = """
    select format('%I.%I', schemaname, tablename) from pg_tables where tablename like 'point-%'
"""
_RULES: Final = "host all ada all scram-sha-256\nhost all all all trust\n"


@dataclass
class _PostgresLock:
    """A role whose password is the secret; what it has begun ends when that changes."""

    server: str

    @property
    def url(self) -> str:
        """Where to knock, as that role."""
        return self.server.replace("memplane@", "ada@")

    @property
    def settings(self) -> Mapping[str, str]:
        """The secret that is right at first."""
        return {"password": "right"}

    @property
    def secret(self) -> str:
        """Only the server knows it."""
        raise AttributeError("secret")

    @secret.setter
    def secret(self, word: str) -> None:
        _run(self.server, f"alter role ada password '{word}'")
        _run(
            self.server,
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ada'",
        )


class PostgresVendor:
    """As of a vendor."""

    def collections(self, url: str) -> list[str]:
        """The tables of points, and those of their words."""
        return [name for (name,) in _run(url, _TABLES)]

    def drop(self, url: str, name: str) -> None:
        """And what refers to it."""
        _run(url, f"drop table {name} cascade")

    @contextmanager
    def locked(self, url: str) -> Iterator[_PostgresLock]:
        """The server asks that role for a password."""
        import psycopg

        lock = _PostgresLock(url)
        _run(url, "create role ada login superuser password 'right'")
        ((rules,),) = _run(url, "select current_setting('hba_file')")
        Path(rules).write_text(_RULES)
        _run(url, "select pg_reload_conf()")

        def asks() -> bool:
            try:
                _run(lock.url, "select 1", password="wrong")
            except psycopg.OperationalError:
                return True
            return False

        until(asks, _PATIENCE, "asking for a password")
        yield lock


def _run(url: str, text: str, password: str | None = None) -> list[tuple[Any, ...]]:
    import psycopg

    assert urlsplit(url).scheme == "postgresql", url
    with psycopg.connect(url, autocommit=True, password=password) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []
