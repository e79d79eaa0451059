"""PostgreSQL behind a pooler: one of our own that shows what poolers show, and PgBouncer if it is installed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.adapters.postgres_pooler import pooler
from tests.adapters.postgres_stores import keys, opened, refused

from memplane_adapters.conformance.servers import HOST, answers, free_ports
from memplane_adapters.conformance.stores.fixtures import KeyValues, eventually
from memplane_adapters.contract import StoreReason, WriteStatus

__all__ = ["keys"]

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@pytest.mark.parametrize("shown", [False, True])
async def test_field_53_statements_are_not_prepared_behind_what_shows_itself(
    keys: dict[str, Any], shown: bool
) -> None:
    """Prepared statements collided behind a pooler."""
    async with pooler(keys["url"], shows_itself=shown) as (between, url):
        async with opened(**{**keys, "url": url}) as key_values:
            for n in range(5):
                await key_values.write(key_values.entry("k", revision=n + 1))
        assert (between.prepared == {b""}) is shown


async def test_a_pooler_that_takes_no_options_is_asked_without(keys: dict[str, Any]) -> None:
    async with pooler(keys["url"], takes_options=False) as (between, url):
        async with opened(**{**keys, "url": url}) as key_values:
            await key_values.write(key_values.entry("k", record=b"kept"))
            assert await key_values.record(key_values.address("k")) == b"kept"
        assert between.refused == 1
        theirs = f"{url}?options=-c%20work_mem%3D8MB"
        async with opened(**{**keys, "url": theirs}) as key_values:
            error = await refused(key_values.store.ping())
            assert error.reason is StoreReason.MISCONFIGURED
            assert "unsupported startup parameter" in str(error)


async def test_nothing_was_sent_to_who_freezes_once_connected(keys: dict[str, Any]) -> None:
    async with (
        pooler(keys["url"], answers=False) as (_, url),
        opened(**{**keys, "url": url}, timeout=0.5) as key_values,
    ):
        error = await refused(key_values.try_write([key_values.entry("k")]))
        assert (error.reason, error.retryable) == (StoreReason.UNAVAILABLE, True)


@pytest.fixture
def pgbouncer(keys: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The URL of a real one before the server, which shares two connections among all transactions."""
    if PGBOUNCER is None:
        pytest.skip("there is no program pgbouncer")
    server = urlsplit(keys["url"])
    (port,) = free_ports(1)
    lines = [
        "[databases]",
        f"* = host={server.hostname} port={server.port} user={keys['user']}",
        "[pgbouncer]",
        f"listen_addr = {HOST}",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        "default_pool_size = 2",
        *(["user = nobody"] if os.geteuid() == 0 else []),
    ]
    configuration = tmp_path / "pgbouncer.ini"
    configuration.write_text("\n".join(lines))
    with subprocess.Popen(
        [PGBOUNCER, configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            asyncio.run(eventually(lambda: _listens(port)))
            yield server._replace(netloc=f"{HOST}:{port}").geturl()
        finally:
            process.kill()


async def _listens(port: int) -> bool:
    return answers(f"tcp://{HOST}:{port}")


async def test_field_53_pgbouncer_gives_each_transaction_another_connection(
    keys: dict[str, Any], pgbouncer: str
) -> None:
    """Prepared statements collided behind a pooler."""
    behind = {**keys, "url": pgbouncer}
    async with opened(**behind) as one, opened(**behind) as other:
        other.tenant = one.tenant

        async def write(key_values: KeyValues, key: str) -> None:
            for n in range(20):
                entry = key_values.entry(key, revision=n + 1, record=f"{key} {n}".encode())
                (result,) = await key_values.try_write([entry])
                assert result.status is WriteStatus.APPLIED

        async with asyncio.TaskGroup() as writers:
            for number, key_values in enumerate([one, other] * 4):
                writers.create_task(write(key_values, f"k{number}"))
        for number in range(8):
            assert await one.record(one.address(f"k{number}")) == f"k{number} 19".encode()
