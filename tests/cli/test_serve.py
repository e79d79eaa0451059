"""`memplane serve`, `demo`, `doctor`, `config` and `version`."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.disks import embedded_level
from typer.testing import Result

Run = Callable[..., Result]
CANARY = "canary-77b1"


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Any]]:
    """`served` of the conftest, which is no module to import."""
    plugin: Any = next(
        each
        for each in request.config.pluginmanager.get_plugins()
        if getattr(each, "__file__", "") == str(Path(__file__).with_name("conftest.py"))
    )
    served: Callable[..., AbstractContextManager[Any]] = plugin.served
    return served


def memplane(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "memplane_gateway.cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


# --- serve --------------------------------------------------------------------------------------


def test_serve_says_where_it_listens_and_what_it_keeps(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, "--data", "data", "--listen", "127.0.0.1:0") as (process, said):
        address = said[0].rsplit(" ", 1)[1]
        assert said[0].startswith("memplane ")
        assert address.startswith("127.0.0.1:")
        assert said[1] == f"  data: {tmp_path / 'data'}"
        assert said[2].startswith("  semantic   -> embedded, durability")
        assert f"durability {embedded_level()}" in said[4]
        assert any("words, not meaning" in line for line in said)
        assert not any("authentication" in line for line in said)
        assert f"--target localhost:{address.rsplit(':')[1]}" in said[-1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert (tmp_path / "data" / "memplane.db").exists()


def test_serve_ends_well_with_sigint(serve: Any, tmp_path: Path) -> None:
    socket_path = tmp_path / "m.sock"
    with serve(tmp_path, "--data", "data", "--listen", f"unix:{socket_path}") as (process, said):
        assert said[0].endswith(f" listening on unix:{socket_path}")
        assert memplane("count", "--target", f"unix:{socket_path}", cwd=tmp_path).stdout == "0\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_serve_says_that_it_is_open_to_others(serve: Any, tmp_path: Path) -> None:
    environment = {"MEMPLANE_ALLOW_UNAUTHENTICATED": "true", "MEMPLANE_DATA_DIR": "data"}
    with serve(tmp_path, "--listen", "0.0.0.0:0", **environment) as (_, said):
        assert any("without authentication" in line for line in said)


def test_serve_refuses_a_wrong_configuration_with_78(tmp_path: Path) -> None:
    (tmp_path / "memplane.yaml").write_text("lissten: x\nlog: {level: loud}\n")
    done = memplane("serve", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert 'memplane.yaml:1: lissten: unknown setting (did you mean "listen"?)' in done.stderr
    assert "memplane.yaml:2: log.level: " in done.stderr


def test_serve_refuses_to_start_on_less_than_is_required(tmp_path: Path) -> None:
    (tmp_path / "memplane.yaml").write_text("routes: {episodic: {require_durability: managed}}\n")
    done = memplane("serve", "--listen", "127.0.0.1:0", "--data", "d", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    for part in ("routes.episodic.require_durability", "MANAGED", "DISK at best", "another store"):
        assert part in done.stderr


def test_serve_refuses_to_have_writes_wait_where_that_helps_nobody(tmp_path: Path) -> None:
    (tmp_path / "memplane.yaml").write_text("routes: {procedural: {on_backend_down: spool}}\n")
    done = memplane("serve", "--listen", "127.0.0.1:0", "--data", "d", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert "routes.procedural.on_backend_down: spool is for stores on a server" in done.stderr


def test_a_control_store_that_nobody_configured(tmp_path: Path) -> None:
    (tmp_path / "memplane.yaml").write_text("control: {store: embeded}\n")
    done = memplane("config", "check", cwd=tmp_path)
    assert done.returncode == 78
    assert 'memplane.yaml:1: control.store: no store "embeded" (did you mean' in done.stderr


def test_serve_refuses_to_be_open_unless_told(tmp_path: Path) -> None:
    done = memplane("serve", "--listen", "0.0.0.0:0", "--data", "d", cwd=tmp_path)
    assert done.returncode == 78
    assert "allow_unauthenticated" in done.stderr


def test_a_data_directory_that_cannot_be_is_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = memplane("serve", "--listen", "127.0.0.1:0", "--data", "file/x", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert "Traceback" not in done.stderr


def test_a_directory_has_one_gateway_and_a_port_too(serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, "--data", "data", "--listen", "127.0.0.1:0") as (_, said):
        address = said[0].rsplit(" ", 1)[1]
        second = memplane("serve", "--data", "data", "--listen", "127.0.0.1:0", cwd=tmp_path)
        assert second.returncode == 78
        assert f"the data directory {tmp_path / 'data'} is in use by process" in second.stderr
        assert "--data DIR" in second.stderr
        taken = memplane("serve", "--data", "other", "--listen", address, cwd=tmp_path)
        assert taken.returncode == 69
        assert f"cannot listen on {address}" in taken.stderr
        assert "--listen 127.0.0.1:0" in taken.stderr


# --- demo ---------------------------------------------------------------------------------------


def test_the_demo_remembers_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MEMPLANE_VECTOR", "not-for-the-demo")
    done = memplane("demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "All there: 12 episodic, 4 semantic, 2 procedural" in done.stdout
    assert done.stdout.count("One of its straps is frayed") == 2
    assert "\033" not in done.stdout
    assert list(tmp_path.iterdir()) == []


# --- doctor -------------------------------------------------------------------------------------


def verdicts(result: Result) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in json.loads(result.stdout)["checks"]}


def test_doctor_before_the_first_start(run: Run, tmp_path: Path) -> None:
    result = run("doctor", "--data", "new", "--listen", "127.0.0.1:0", "-o", "json")
    assert result.exit_code == 0
    assert verdicts(result) == {
        "python": "ok",
        "sqlite": "ok",
        "configuration": "ok",
        "data directory": "ok",
        "address": "ok",
        "store embedded": "ok",
        "embedder hash": "warn",
    }
    assert not (tmp_path / "new").exists()


def test_doctor_asks_the_gateway_that_runs(run: Run, target: str) -> None:
    result = run("doctor", "--data", "new", "--listen", target, "-o", "json")
    assert result.exit_code == 0
    found = verdicts(result)
    assert found["route semantic"] == found["route procedural"] == found["address"] == "ok"
    assert "WHAT TO DO" in run("doctor", "--data", "new", "--listen", target).stdout


def test_doctor_finds_what_is_wrong(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("doctor", "--data", "file", "--listen", "127.0.0.1:0", "-o", "json")
    assert result.exit_code == 1
    assert verdicts(result)["data directory"] == "fail"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("doctor", "--data", "new", "--listen", address, "-o", "json")
    assert (result.exit_code, verdicts(result)["address"]) == (1, "fail")
    Path("memplane.yaml").write_text("nonsense: 1\n")
    result = run("doctor", "-o", "json")
    assert (result.exit_code, verdicts(result)["configuration"]) == (1, "fail")


def test_doctor_tells_of_a_directory_in_use(run: Run, serve: Any, tmp_path: Path) -> None:
    with serve(tmp_path, "--data", "data", "--listen", "127.0.0.1:0"):
        result = run("doctor", "--data", "data", "--listen", "127.0.0.1:0")
    assert result.exit_code == 1
    assert "is in use by process" in result.stdout


def found(result: Result) -> dict[str, str]:
    return {each["name"]: each["found"] for each in json.loads(result.stdout)["checks"]}


def test_doctor_tries_the_embedders(run: Run) -> None:
    Path("memplane.yaml").write_text(
        "data_dir: data\nlisten: 127.0.0.1:0\n"
        "routes: {semantic: {embedder: minilm}}\n"
        "embedders:\n"
        "  minilm: {provider: openai, base_url: 'http://localhost:1/v1', model: m, dimension: 8}\n"
        "  spare: {provider: hash}\n"
    )
    result = run("doctor", "-o", "json")
    assert (result.exit_code, verdicts(result)["embedder minilm"]) == (1, "fail")
    assert (
        "http://localhost:1/v1/embeddings cannot be reached: " in found(result)["embedder minilm"]
    )
    assert verdicts(result)["embedders.spare"] == "warn"


@pytest.mark.parametrize(
    "change",
    [
        "embedders: {hash: {dimension: 256}}\n",
        "routes: {semantic: {language: german}}\n",
    ],
)
def test_doctor_finds_data_of_another_embedder_or_language(
    run: Run, serve: Any, tmp_path: Path, change: str
) -> None:
    with serve(tmp_path, "--data", "data", "--listen", "127.0.0.1:0") as (_, said):
        target = said[0].rsplit(" ", 1)[1]
        assert run("put", "Prefers tea", "--target", target).exit_code == 0
    arguments = ("doctor", "--data", "data", "--listen", "127.0.0.1:0", "-o", "json")
    assert verdicts(run(*arguments))["store embedded"] == "ok"
    Path("memplane.yaml").write_text(change)
    result = run(*arguments)
    assert (result.exit_code, verdicts(result)["store embedded"]) == (1, "fail")
    assert "; configured: " in found(result)["store embedded"]


def test_doctor_tries_to_write_where_the_data_is_to_lie(run: Run) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc, in which nobody can make a directory")
    result = run("doctor", "--data", "/proc/x", "--listen", "127.0.0.1:0", "-o", "json")
    assert (result.exit_code, verdicts(result)["data directory"]) == (1, "fail")


# --- config and version -------------------------------------------------------------------------


def test_config_check(run: Run) -> None:
    assert run("config", "check").stdout == "ok (no file: the defaults and the environment)\n"
    Path("memplane.yaml").write_text("listen: 127.0.0.1:1\nroutes:\n  semantic: {store: x}\n")
    result = run("config", "check")
    assert (result.exit_code, result.stdout) == (78, "")
    assert result.stderr == (
        'memplane.yaml:3: routes.semantic.store: no store "x" (configured: embedded)\n'
    )
    result = run("config", "check", "-o", "json")
    assert result.exit_code == 78
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["path"], problem["file"], problem["line"]) == (
        "routes.semantic.store",
        "memplane.yaml",
        3,
    )


def test_config_check_names_what_no_route_uses(run: Run) -> None:
    Path("memplane.yaml").write_text("stores: {spare: {adapter: embedded, path: spare.db}}\n")
    result = run("config", "check")
    assert (result.exit_code, result.stderr) == (0, "note: used by no route: stores.spare\n")
    assert json.loads(run("config", "check", "-o", "json").stdout)["unused"] == ["stores.spare"]


def test_config_show_hides_secrets(run: Run) -> None:
    Path("memplane.yaml").write_text(
        "routes: {semantic: {embedder: e}}\n"
        "embedders:\n"
        f"  e: {{provider: openai, model: m, dimension: 8, api_key: {CANARY}}}\n"
        "  spare: {provider: hash}\n"
    )
    shown = run("config", "show")
    assert shown.exit_code == 0
    assert CANARY not in shown.output
    assert "# used by no route: embedders.spare" in shown.stdout
    assert yaml.safe_load(shown.stdout)["embedders"]["e"]["api_key"] == "********"
    assert json.loads(run("config", "show", "--json").stdout)["listen"] == "127.0.0.1:50051"


def test_config_schema(run: Run) -> None:
    schema = json.loads(run("config", "schema").stdout)
    assert schema["properties"]["stores"]["additionalProperties"]["anyOf"]


def test_version(run: Run) -> None:
    assert run("version").stdout.startswith("memplane-gateway ")
    assert run("--version").stdout == run("version").stdout
    assert "sqlite" in json.loads(run("version", "-o", "json").stdout)


def test_help_shows_every_form_of_an_address(run: Run) -> None:
    assert "host:port, [v6]:port or unix:PATH" in run("serve", "--help").stdout


def test_serve_has_no_port_and_says_what_it_has(run: Run) -> None:
    result = run("serve", "--port", "8080")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--listen 127.0.0.1:8080" in result.stderr


def test_help_is_light() -> None:
    """What is heavy is imported only by the words that need it."""
    code = "import sys; import memplane_gateway.cli.app; print([m for m in %s if m in sys.modules])"
    heavy = ["grpc", "numpy", "pydantic", "memplane", "yaml", "google.protobuf"]
    done = subprocess.run(
        [sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
