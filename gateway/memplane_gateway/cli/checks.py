"""The checks of `memplane doctor`."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from memplane_gateway.cli.findings import Check, Verdict
from memplane_gateway.cli.serve import reachable
from memplane_gateway.config import (
    Address,
    ConfigError,
    Settings,
    load,
    probe,
    probe_embedder,
)

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 35)  # RETURNING
_OCTAL = re.compile(r"\\([0-7]{3})")


def examine(config: Path | None, data: Path | None, listen: str | None) -> list[Check]:
    """Runs every check that makes sense."""
    checks = [_python(), _sqlite()]
    overrides = {"data_dir": None if data is None else str(data), "listen": listen}
    try:
        settings = load(config, overrides, everything=True)
    except ConfigError as error:
        checks += [
            Check("configuration", Verdict.FAIL, str(problem), "memplane config check")
            for problem in error.problems
        ]
        return checks
    where = str(settings.file or "no file: defaults and environment")
    checks.append(Check("configuration", Verdict.OK, where))
    checks += _data_directory(settings.data_dir)
    answering = _gateway_answers(settings.address)
    checks.append(_address(settings.address, answering=answering))
    if answering:
        checks += _routes(reachable(str(settings.address)))
    elif not any(check.verdict is Verdict.FAIL for check in checks):
        checks += _stores(settings)
    checks += _embedders(settings)
    checks += [
        Check(path, Verdict.WARN, "used by no route", "name it under routes, or take it out")
        for path in settings.unused
    ]
    return checks


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", Verdict.FAIL, found, "install Python 3.11 or newer")
    return Check("python", Verdict.OK, found)


def _sqlite() -> Check:
    found = sqlite3.sqlite_version
    do = "use a Python whose SQLite is newer and has FTS5"
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return Check("sqlite", Verdict.FAIL, f"{found} is too old", do)
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        try:
            database.execute("CREATE VIRTUAL TABLE words USING fts5(text)")
        except sqlite3.OperationalError:
            return Check("sqlite", Verdict.FAIL, f"{found} without FTS5", do)
    return Check("sqlite", Verdict.OK, f"{found} with FTS5")


def _data_directory(path: Path) -> Iterator[Check]:
    name = "data directory"
    there = path
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        yield Check(name, Verdict.FAIL, f"{there} is not a directory", "choose another: --data DIR")
        return
    reason = _not_writable(there)
    if reason:
        do = f"give user {os.geteuid()} the right to write, or choose another: --data DIR"
        yield Check(name, Verdict.FAIL, f"{there} is not writable: {reason}", do)
        return
    kind = _file_system(there)
    found = str(path) if path.exists() else f"{path} (will be made)"
    yield Check(name, Verdict.OK, f"{found}{f', {kind}' if kind else ''}")
    if kind in ("tmpfs", "ramfs"):
        yield Check(name, Verdict.WARN, f"{kind} is memory", "it is empty after a reboot")
    space = os.statvfs(there)
    free = space.f_bavail * space.f_frsize
    if free < 256 * 1024 * 1024:
        yield Check(name, Verdict.WARN, f"{free // 2**20} MiB free", "make room")


def _not_writable(directory: Path) -> str:
    """Why nothing can be made there, found by trying; root may, where the rights say no."""
    try:
        with tempfile.TemporaryDirectory(prefix=".memplane-doctor-", dir=directory):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _file_system(path: Path) -> str:
    """The type of the file system, as far as the kernel tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        columns = before.split(" ")
        mount = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), columns[4]))
        if path.resolve().is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), after.split(" ")[0]
    return kind


def _gateway_answers(address: Address) -> bool:
    if not address.path and address.port == 0:
        return False
    from memplane import Client, MemplaneError

    try:
        with Client(reachable(str(address)), timeout=2.0) as client:
            client.status()
    except MemplaneError:
        return False
    return True


def _address(address: Address, *, answering: bool) -> Check:
    if answering:
        return Check("address", Verdict.OK, f"{address}: a gateway answers")
    if address.path:
        folder = Path(address.path).parent
        if not os.access(folder, os.W_OK):
            return Check(
                "address", Verdict.FAIL, f"{folder} is not writable", "choose another path"
            )
        return Check("address", Verdict.OK, f"{address}: no gateway yet")
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family) as probing:
            probing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probing.bind((address.host, address.port))
    except OSError as error:
        found = f"{address}: {error.strerror or error}"
        return Check("address", Verdict.FAIL, found, "another address: --listen 127.0.0.1:0")
    return Check("address", Verdict.OK, f"{address} is free")


def _routes(target: str) -> Iterator[Check]:
    from memplane import Client, MemplaneError, RouteState

    try:
        with Client(target, timeout=5.0) as client:
            status = client.status()
    except MemplaneError as error:
        yield Check("routes", Verdict.FAIL, str(error), "look into the log of the gateway")
        return
    for kind, route in status.routes.items():
        name = f"route {kind.value}"
        if not route.serving:
            yield Check(name, Verdict.FAIL, route.message, f"look after the store {route.store}")
        elif route.adapter == "adopt":
            found = f"{route.store}, a collection of others, read-only: {route.rows} memories"
            yield Check(name, Verdict.OK, found)
        elif not route.persistent:
            found = f"{route.store} forgets everything with its process"
            yield Check(name, Verdict.WARN, found, "switch on the persistence of the store")
        else:
            why = f" ({route.durability_why})" if route.durability_why else ""
            found = f"{route.store}, durability {route.durability.value}{why}"
            yield Check(name, Verdict.OK, found)
    control = status.control
    if control is not None and control.state is not RouteState.SERVING:
        do = f"look after the store {control.store}"
        yield Check("control store", Verdict.FAIL, f"{control.store} does not answer", do)


def _stores(settings: Settings) -> Iterator[Check]:
    for name, store in settings.stores.items():
        if store.adapter == "embedded" and not settings.data_dir.exists():
            yield Check(f"store {name}", Verdict.OK, "will be made at the first start")
            continue
        found = probe(settings, name)
        if found.error:
            yield Check(
                f"store {name}",
                Verdict.FAIL,
                found.error,
                f"see stores.{name} and its routes in the configuration",
            )
        else:
            seen = f"answers in {found.ping_seconds * 1000:.1f} ms, durability {found.durability}"
            yield Check(f"store {name}", Verdict.OK, seen)


def _embedders(settings: Settings) -> Iterator[Check]:
    routes = settings.routes
    for name in dict.fromkeys((routes.semantic.embedder, routes.episodic.embedder)):
        embedder = settings.embedders[name]
        tried = probe_embedder(embedder)
        if tried.error:
            do = f"see embedders.{name} in the configuration"
            yield Check(f"embedder {name}", Verdict.FAIL, tried.error, do)
        elif embedder.provider == "hash":
            do = "configure one that does: docs/configuration.md, embedders"
            yield Check(f"embedder {name}", Verdict.WARN, "matches words, not meaning", do)
        else:
            found = f"{embedder.provider}, dimension {embedder.dimension}"
            if embedder.provider != "none":
                found += f", answers in {tried.ping_seconds * 1000:.0f} ms"
            yield Check(f"embedder {name}", Verdict.OK, found)
