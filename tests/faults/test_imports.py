"""What is loaded, and how long that takes: a client is small, a gateway loads no vendor's SDK."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.figures import say
from tests.faults.process import BYTECODE, COMMAND, Gateway

pytestmark = pytest.mark.usefixtures("real_starts")

_RUNS = 5
_CLIENT_MAY_LOAD = {"memplane", "google", "grpc", "typing_extensions"}
_CLIENT_NEVER_LOADS = {"memplane_gateway", "memplane_adapters", "numpy", "pydantic", "typer"}
_GATEWAY_MAY_LOAD = {
    "memplane", "memplane_gateway", "memplane_adapters",
    "google", "grpc", "grpc_health", "grpc_reflection",
    "annotated_types", "annotated_doc", "dotenv", "numpy", "platformdirs", "pydantic",
    "pydantic_core", "pydantic_settings", "snowballstemmer", "typing_extensions",
    "typing_inspection", "uvloop", "yaml", "_yaml",
    "click", "markdown_it", "mdurl", "pygments", "rich", "shellingham", "typer",
}  # fmt: skip


def _loaded(code: str) -> set[str]:
    """Names of all packages that a new process has loaded after some code, beyond a bare one."""
    show = "import sys, json; sys.stdout.write(json.dumps(sorted(sys.modules)))"
    found: list[set[str]] = []
    for what in ("", code):
        ran = subprocess.run(
            [sys.executable, "-c", f"{what}\n{show}"], capture_output=True, check=True
        )
        found.append({name.partition(".")[0] for name in json.loads(ran.stdout)})
    bare, full = found
    return {name for name in full - bare if not _belongs_to_python(name)}


def _belongs_to_python(name: str) -> bool:
    return (
        name in sys.stdlib_module_names
        or name.startswith(("_sysconfigdata", "_cython_", "__"))
        or name in ("cython_runtime", "_distutils_hack")
    )


def test_client_loads_only_its_own() -> None:
    loaded = _loaded("import memplane")
    assert loaded <= _CLIENT_MAY_LOAD, loaded - _CLIENT_MAY_LOAD
    used = _loaded(
        "import memplane\n"
        "with memplane.Client('localhost:1', timeout=0.2) as client:\n"
        "    try: client.scope('a').put('b', kind='procedural', value=1)\n"
        "    except Exception: pass"
    )
    assert not used & _CLIENT_NEVER_LOADS, used & _CLIENT_NEVER_LOADS
    say(f"import memplane: {sorted(loaded)}; after a call: {sorted(used)}")


def test_time_to_import_the_client() -> None:
    """No assertion on a clock: the figures are printed."""
    runs = sorted(_run([sys.executable, "-c", "import memplane"]) for _ in range(_RUNS))
    bare = min(_run([sys.executable, "-c", "pass"]) for _ in range(_RUNS))
    shown = ", ".join(f"{wall - bare[0]:.3f} ({cpu - bare[1]:.3f})" for wall, cpu in runs)
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import memplane"],
        capture_output=True,
        text=True,
        check=True,
        env=_environment(),
    )
    say(f"import memplane: {shown} s (of CPU) beyond bare Python's {bare[0]:.3f} s")
    say(_dearest(ran.stderr))


def _environment() -> dict[str, str]:
    return {**os.environ, **BYTECODE}


def _run(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=_environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def test_gateway_loads_no_vendor_and_starts_fast(place: Path) -> None:
    """It runs on the embedded store, which needs nobody."""
    python, *rest = COMMAND
    gateway = Gateway(place)
    with gateway:  # once for the bytecode
        pass
    gateway.command = (python, "-X", "importtime", *rest)
    with gateway:
        report = gateway.said
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in report.splitlines()
        if line.startswith("import time:") and "[us]" not in line
    }
    # A name that was only tried stands in the report too.
    outside = {name for name in loaded if not _belongs_to_python(name) and _installed(name)}
    assert "memplane_gateway" in outside, "the report was read"
    strangers = outside - _GATEWAY_MAY_LOAD
    assert not strangers, strangers

    gateway.command = COMMAND
    starts: list[tuple[float, float]] = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        with gateway:
            starts.append((time.perf_counter() - started, gateway.cpu_seconds()))
    shown = ", ".join(f"{wall:.2f} ({cpu:.2f})" for wall, cpu in sorted(starts))
    say(f"memplane serve is ready after {shown} s (of CPU); it loads {sorted(outside)}")
    say(_dearest(report))


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # a module without a spec, such as one made by hand
        return True


def _dearest(report: str) -> str:
    """The modules that cost most, with and without what they import."""
    rows: list[tuple[int, int, str]] = []
    for line in report.splitlines():
        if line.startswith("import time:") and "[us]" not in line:
            alone, deep, module = line.removeprefix("import time:").split("|")
            rows.append((int(alone), int(deep), module.strip()))
    packages: dict[str, int] = {}
    for cost, _, name in rows:
        package = name.partition(".")[0]
        packages[package] = packages.get(package, 0) + cost
    top = sorted(packages.items(), key=lambda item: -item[1])[:14]
    wholes = sorted(rows, key=lambda row: -row[1])[:14]
    return (
        f"own time by package, of {sum(packages.values()) / 1000:.0f} ms: "
        + ", ".join(f"{package} {spent / 1000:.0f}" for package, spent in top)
        + "\nwith what they import: "
        + ", ".join(f"{name} {total / 1000:.0f}" for _, total, name in wholes)
    )
