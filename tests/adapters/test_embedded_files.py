"""The embedded store and its file: who owns it, where it may be, and what survives."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tests.thorough import THOROUGH

from memplane_adapters.conformance.stores.fixtures import COLLECTION, KeyValues, Points, vector
from memplane_adapters.contract import (
    Backend,
    Collection,
    Durability,
    EmbeddingIdentity,
    Kind,
    Reached,
    StoreError,
    StoreReason,
)
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings, schema
from memplane_adapters.embedded.filesystem import _NETWORK, filesystem


def connect(directory: Path, path: str = "memplane.db") -> Backend:
    return ADAPTER.connect(EmbeddedSettings(path), directory)


def points_of(backend: Backend) -> Points:
    assert backend.vector is not None
    return Points(backend.vector)


def key_values_of(backend: Backend) -> KeyValues:
    assert backend.key_value is not None
    return KeyValues(backend.key_value)


async def refusal(backend: Backend) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await key_values_of(backend).store.open()
    return caught.value


# --- who owns it --------------------------------------------------------------------------------


async def test_field_59_a_second_owner_is_refused(tmp_path: Path) -> None:
    first, second = key_values_of(connect(tmp_path)), connect(tmp_path)
    await first.store.open()
    error = await refusal(second)
    assert error.reason is StoreReason.MISCONFIGURED
    assert not error.retryable
    assert str(tmp_path) in str(error)
    assert str(os.getpid()) in str(error)
    assert error.metadata == {"directory": str(tmp_path), "pid": str(os.getpid())}
    await first.write(first.entry("k"))
    await first.store.close()
    again = key_values_of(second)
    await again.store.open()
    again.tenant = first.tenant
    assert await again.walk() == ["k"]
    await again.store.close()


async def test_a_link_does_not_lead_around_the_lock(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    first = key_values_of(connect(tmp_path / "real"))
    await first.store.open()
    assert (await refusal(connect(tmp_path / "link"))).reason is StoreReason.MISCONFIGURED
    (tmp_path / "other.db").symlink_to(tmp_path / "real" / "memplane.db")
    assert (await refusal(connect(tmp_path, "other.db"))).reason is StoreReason.MISCONFIGURED
    await first.store.close()


async def test_two_files_of_one_directory_are_two_stores(tmp_path: Path) -> None:
    one, two = (key_values_of(connect(tmp_path, name)) for name in ("one.db", "two.db"))
    await one.store.open()
    await two.store.open()
    two.tenant = one.tenant
    await one.write(one.entry("k"))
    assert await two.walk() == []
    await one.store.close()
    await two.store.close()


async def test_field_59_another_process_is_refused_until_it_is_gone(tmp_path: Path) -> None:
    child = _start(tmp_path, "print('open', flush=True); await asyncio.sleep(600)")
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        error = await refusal(connect(tmp_path))
        assert error.reason is StoreReason.MISCONFIGURED
        assert error.metadata["pid"] == str(child.pid)
        child.send_signal(signal.SIGKILL)
        child.wait()
        freed = key_values_of(connect(tmp_path))
        await freed.store.open()
        await freed.store.close()
    finally:
        child.kill()
        child.communicate()


# --- where it may be ----------------------------------------------------------------------------

_MOUNTS = r"""
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
30 22 0:40 / /srv/nfs rw,relatime shared:2 - nfs4 filer:/x rw,vers=4.2
31 22 0:41 / /srv/nfs/local rw - xfs /dev/sdb1 rw
32 22 0:42 / /mnt/my\040share rw master:3 propagate_from:2 - cifs //host/share rw
33 22 0:43 / /home/ada/remote rw - fuse.sshfs ada@host: rw
34 22 0:44 / /over rw - nfs filer:/y rw
35 34 0:45 / /over rw - tmpfs tmpfs rw
36 22 0:46 / /under rw - tmpfs tmpfs rw
37 36 0:47 / /under rw - smb3 //host/z rw
38 22 0:48 / /docker rw - overlay overlay rw
39 22 0:49 / /mac rw - virtiofs mac rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", None),
        ("/home/ada", None),
        ("/srv/nfs", "nfs4"),
        ("/srv/nfs/memplane/data", "nfs4"),
        ("/srv/nfs-not", None),
        ("/srv/nfs/local/data", None),
        ("/mnt/my share/x", "cifs"),
        ("/mnt/my", None),
        ("/home/ada/remote/x", "fuse.sshfs"),
        ("/over", None),
        ("/under/x", "smb3"),
        ("/docker", None),
        ("/mac", None),
    ],
)
def test_network_file_systems_are_known(path: str, kind: str | None) -> None:
    found = filesystem(_MOUNTS, Path(path))
    assert (found if found in _NETWORK else None) == kind


@pytest.mark.parametrize("mountinfo", ["", "nonsense", "1 2 3 - ", " - nfs", "1 2 3 4 / rw -"])
def test_odd_mountinfo_is_no_reason_to_refuse(mountinfo: str) -> None:
    assert filesystem(mountinfo, Path("/x")) is None


async def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memplane_adapters.embedded.filesystem._kind", lambda directory: "nfs4")
    error = await refusal(connect(tmp_path))
    assert error.reason is StoreReason.MISCONFIGURED
    assert "nfs4" in str(error)
    assert str(tmp_path) in str(error)


async def test_what_a_loss_of_power_empties_is_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memplane_adapters.embedded.filesystem._kind", lambda directory: "tmpfs")
    store = key_values_of(connect(tmp_path)).store
    await store.open()
    assert await store.ping() == Reached(Durability.PROCESS, "its directory is on tmpfs")
    await store.close()


async def test_a_directory_is_made(tmp_path: Path) -> None:
    store = key_values_of(connect(tmp_path, "deep/er/memplane.db"))
    await store.store.open()
    await store.store.close()
    assert (tmp_path / "deep/er/memplane.db").is_file()


async def test_only_the_owner_may_read(tmp_path: Path) -> None:
    points = points_of(connect(tmp_path, "own/memplane.db"))
    await points.store.open()
    await points.store.ping()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "own").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
    await points.store.close()


async def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = await refusal(connect(tmp_path, "file/memplane.db"))
    assert (error.reason, str(tmp_path / "file") in str(error)) == (
        StoreReason.MISCONFIGURED,
        True,
    )
    (tmp_path / "directory.db").mkdir()
    error = await refusal(connect(tmp_path, "directory.db"))
    assert (error.reason, "directory.db" in str(error)) == (StoreReason.MISCONFIGURED, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_field_60_a_directory_of_somebody_else_is_refused() -> None:
    """The service user could not write its volume."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        output = _run(directory, "", before="os.setuid(65534)")
        assert output["reason"] == "misconfigured"
        assert name in output["message"]
        assert "65534" in output["message"]
        connection = sqlite3.connect(directory / "memplane.db")
        connection.execute("create table t (x)")
        connection.close()
        directory.chmod(0o777)
        output = _run(directory, "", before="os.setuid(65534)")
        assert output["reason"] == "misconfigured"
        assert "memplane.db" in output["message"]


# --- what is in it ------------------------------------------------------------------------------


async def test_the_schema_has_a_version(tmp_path: Path) -> None:
    store = key_values_of(connect(tmp_path))
    await store.store.open()
    await store.store.close()
    connection = sqlite3.connect(tmp_path / "memplane.db")
    assert connection.execute("pragma user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert connection.execute("pragma application_id").fetchone() == (schema.APPLICATION_ID,)
    assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = key_values_of(connect(tmp_path))
    await store.store.open()
    await store.write(store.entry("k"))
    await store.store.close()
    _execute(tmp_path, "pragma user_version = 99")
    error = await refusal(connect(tmp_path))
    assert error.reason is StoreReason.MISCONFIGURED
    assert "99" in str(error)
    _execute(tmp_path, f"pragma user_version = {len(schema.MIGRATIONS)}")
    await store.store.open()
    assert await store.walk() == ["k"]
    await store.store.close()


async def test_field_57_an_older_schema_is_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new major version failed on data of the old."""
    store = key_values_of(connect(tmp_path))
    await store.store.open()
    await store.write(store.entry("k"))
    await store.store.close()
    more = (*schema.MIGRATIONS, ("create table added (x)", "insert into added values (5)"))
    monkeypatch.setattr(schema, "MIGRATIONS", more)
    await store.store.open()
    assert await store.walk() == ["k"]
    await store.store.close()
    assert _execute(tmp_path, "select x from added") == [(5,)]
    monkeypatch.setattr(schema, "MIGRATIONS", (*more, ("create table half (x)", "nonsense")))
    assert (await refusal(connect(tmp_path))).reason is StoreReason.PROTOCOL
    assert _execute(tmp_path, "select name from sqlite_master where name = 'half'") == []
    assert _execute(tmp_path, "pragma user_version") == [(len(more),)]


async def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    _execute(tmp_path, "create table theirs (x)")
    error = await refusal(connect(tmp_path))
    assert error.reason is StoreReason.MISCONFIGURED
    assert _execute(tmp_path, "select name from sqlite_master") == [("theirs",)]


async def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    garbage = b"not a database at all" * 1000
    (tmp_path / "memplane.db").write_bytes(garbage)
    error = await refusal(connect(tmp_path))
    assert error.reason is StoreReason.DAMAGED
    assert not error.retryable
    assert (tmp_path / "memplane.db").read_bytes() == garbage


async def test_damage_inside_the_file_is_told(tmp_path: Path) -> None:
    store = key_values_of(connect(tmp_path))
    await store.store.open()
    await store.write(*(store.entry(f"{n}", record=os.urandom(3000)) for n in range(200)))
    await store.store.close()
    path = tmp_path / "memplane.db"
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = os.urandom(len(content) - 3 * 4096)
    path.write_bytes(content)
    error = None
    try:
        await store.store.open()
        await store.page(limit=1000)
    except StoreError as caught:
        error = caught
    finally:
        await store.store.close()
    assert error is not None
    assert error.reason is StoreReason.DAMAGED


async def test_a_vector_of_a_wrong_length_is_damage(tmp_path: Path) -> None:
    points = points_of(connect(tmp_path))
    await points.store.open()
    await points.store.ensure(COLLECTION)
    await points.write(points.point("k"))
    await points.store.close()
    _execute(tmp_path, "update memory set vector = x'0000'")
    await points.store.open()
    with pytest.raises(StoreError) as caught:
        await points.search(vector=vector(1.0))
    assert caught.value.reason is StoreReason.DAMAGED
    await points.store.close()


async def test_a_file_that_vanishes_is_noticed(tmp_path: Path) -> None:
    store = key_values_of(connect(tmp_path))
    await store.store.open()
    await store.store.ping()
    (tmp_path / "memplane.db").unlink()
    with pytest.raises(StoreError) as caught:
        await store.store.ping()
    assert caught.value.reason is StoreReason.COLLECTION_MISSING
    await store.store.close()


async def test_an_empty_store_takes_another_embedding(tmp_path: Path) -> None:
    """Who starts once without configuration is not bound to what that was."""
    points = points_of(connect(tmp_path))
    await points.store.open()
    await points.store.ensure(COLLECTION)
    await points.write(points.point("gone"))
    assert await points.search(vector=vector(1.0)) == ["gone"]
    await points.store.delete_where(points.scope(), max_revision=2**62)
    other = Collection(Kind.SEMANTIC, EmbeddingIdentity("new", "model", 3), "words")
    await points.store.ensure(other)
    three = np.array([1, 0, 0], np.float32)
    await points.write(points.point("k", three))
    assert await points.search(vector=three) == ["k"]
    with pytest.raises(StoreError):
        await points.store.ensure(COLLECTION)
    await points.store.close()


async def test_the_embedding_is_remembered(tmp_path: Path) -> None:
    points = points_of(connect(tmp_path))
    await points.store.open()
    await points.store.ensure(COLLECTION)
    await points.write(points.point("first"))
    await points.store.close()
    points = points_of(connect(tmp_path))
    await points.store.open()
    other = Collection(Kind.SEMANTIC, EmbeddingIdentity("new", "model", 3), "words")
    with pytest.raises(StoreError) as caught:
        await points.store.ensure(other)
    assert caught.value.reason is StoreReason.IDENTITY_MISMATCH
    assert "conformance/made-up/8" in caught.value.metadata["stored"]
    assert "new/model/3" in caught.value.metadata["configured"]
    await points.write(points.point("k"))  # known without ensure, from the file
    await points.store.close()


# --- what survives ------------------------------------------------------------------------------

_WRITER = """
    await backend.vector.ensure(COLLECTION)
    number = int(sys.argv[2])
    async def client(lane):
        nonlocal number
        while True:
            number += 1
            mine = number
            points = [
                Point(address=Address("t", Kind.SEMANTIC, ("n",), f"{mine}/{part}"),
                      revision=mine, update_time=mine, time=mine, fields={"n": mine},
                      record=(f"{mine}/{part} " * 300).encode(), vector=vector(1.0, mine),
                      terms=("word", f"w{mine}"))
                for part in range(3)
            ]
            (a, b, c) = await backend.vector.upsert([Write(point) for point in points])
            assert {a.status, b.status, c.status} == {"applied"}
            print(mine, flush=True)
    await asyncio.gather(*(client(lane) for lane in range(8)))
"""


async def test_field_36_kill_9_in_mid_write(tmp_path: Path) -> None:
    """Ten rounds, four by default: what was acknowledged is there, and no batch is half written."""
    acknowledged: set[int] = set()
    last = 0
    for round_number in range(10 if THOROUGH else 4):
        with _start(tmp_path, _WRITER, str(last)) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            for _ in range(10 + 7 * round_number):
                line = child.stdout.readline()
                assert line, child.stderr.read()
                acknowledged.add(int(line))
            child.send_signal(signal.SIGKILL)
            # Not `communicate`, which passes over what readline has taken ahead.
            lines = child.stdout.read().split("\n")[:-1]  # the last one may be torn
            acknowledged.update(map(int, lines))
            assert not child.stderr.read()
        last = max(acknowledged) + 100

        points = points_of(connect(tmp_path))
        await points.store.open()
        points.tenant = "t"
        await points.store.ensure(COLLECTION)
        rows = await points.walk_rows(limit=500, vectors=True)
        found: dict[int, int] = {}
        for row in rows:
            word = row.record.decode().split(" ", 1)[0]
            assert row.record.decode() == f"{word} " * 300
            number = int(word.partition("/")[0])
            found[number] = found.get(number, 0) + 1
            assert row.vector is not None
            np.testing.assert_array_equal(row.vector, vector(1.0, number))
        assert set(found) >= acknowledged
        assert set(found.values()) == {3}
        for number in list(acknowledged)[-5:]:
            assert len(await points.search(terms=(f"w{number}",))) == 3
        assert len(await points.search(terms=("word",), limit=100_000)) == len(rows)
        assert len(await points.search(vector=vector(1.0), limit=100_000)) == len(rows)
        await points.store.close()
        assert _execute(tmp_path, "pragma integrity_check") == [("ok",)]


# --- helpers ------------------------------------------------------------------------------------

_CHILD = """
import asyncio, json, os, sqlite3, sys, threading, concurrent.futures.thread
from pathlib import Path
import numpy
from memplane_adapters.conformance.stores.fixtures import COLLECTION, vector
from memplane_adapters.contract import Address, Kind, Point, StoreError, Write
from memplane_adapters.embedded import ADAPTER, EmbeddedSettings

async def main():
    backend = ADAPTER.connect(EmbeddedSettings(), Path(sys.argv[1]))
    await backend.vector.open()
    {body}
    await backend.vector.close()

{before}
try:
    asyncio.run(main())
except StoreError as error:
    print(json.dumps({{"reason": error.reason, "message": str(error)}}))
"""


def _start(directory: Path, body: str, *arguments: str, before: str = "") -> subprocess.Popen[str]:
    code = _CHILD.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip(), before=before)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(directory: Path, body: str, before: str) -> dict[str, str]:
    output, errors = _start(directory, body, before=before).communicate(timeout=60)
    assert not errors
    said: dict[str, str] = json.loads(output)
    return said


def _execute(directory: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(directory / "memplane.db", isolation_level=None)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
