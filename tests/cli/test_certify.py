"""`memplane certify`: what it shows, and that it touches nothing and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from tests.cli.conftest import clean
from tests.outside.conftest import CARDBOX, install
from typer.testing import Result

from memplane_adapters.conformance.local_stores import Servers, at_hand
from memplane_gateway.certifying import running
from memplane_gateway.cli.certify import interrupting

MISCOUNTING = Path(__file__).parent / "miscounting"
SECONDS = 60
Certify = Callable[..., Result]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "memplane_gateway.cli", "certify", *arguments]


def configured(place: Path, **stores: dict[str, Any]) -> str:
    """A file that has these stores, used by no route."""
    file = place / "memplane.yaml"
    file.write_text(yaml.safe_dump({"data_dir": str(place / "data"), "stores": stores}))
    return str(file)


def tree(directory: Path) -> dict[str, str]:
    """Every file below a directory, with a digest of what is in it."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_selection_of_cases_is_run_beside_what_is_there(run: Certify, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "memories.db").write_bytes(b"not to be touched, nor even opened")
    config = configured(tmp_path, mine={"adapter": "embedded", "path": str(kept / "memories.db")})
    before = tree(tmp_path)
    report = tmp_path / "report.md"
    chosen = "test_empty_batches or (test_field_42 and in-process)"
    done = run(
        *("certify", "--store", "mine", "--config", config, "--output", "json"),
        *("--report", str(report), "--promise", "vectors", "-k", chosen),
    )
    assert done.exit_code == 1, done.output
    shown = json.loads(done.stdout)
    assert (shown["level"], shown["failed"], shown["left"]) == ("none", [], [])
    assert shown["why"][0] == "the run was partial, by options"
    # One case for the one promise that is asked, and two for each of two kinds.
    assert shown["cases"] == {"run": 5, "passed": 5, "failed": 0, "skipped": 0}
    assert shown["scores"]["compared"] == 0
    assert shown["subject"]["nature"] == "in-process engine"
    words = report.read_text()
    assert words.startswith("# Certification: mine\n\n**Not certified**\n")
    assert str(tmp_path) not in words
    report.unlink()
    assert tree(tmp_path) == before


def test_what_is_wrong_with_a_store_is_named(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(MISCOUNTING, site)
    config = configured(tmp_path, shop={"adapter": "miscounting"})
    selection = ("--half", "stores", "-k", "test_scans")
    done = subprocess.run(
        command("-s", "shop", "--config", config, *selection),
        env=clean() | {"PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "failed: stores/test_scans.py::test_counts" in done.stderr
    assert "declared and not shown: exact_count" in done.stdout
    assert "shop (miscounting, in-process engine)" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memplane.yaml", "site"]


def test_ctrl_c_leaves_the_store_as_it_was(servers: Servers, tmp_path: Path) -> None:
    """And what somebody else has in the same store is there."""
    found = at_hand("redis")
    if not found:
        pytest.skip("no Redis is at hand")
    adapter, keys = found[0].keys(servers, tmp_path)
    theirs = f"{keys['prefix']}:theirs"
    with redis.Redis.from_url(str(keys["url"])) as raw:
        raw.set(theirs, "kept")
        before = set(raw.scan_iter("cert-*"))
        config = configured(tmp_path, main={"adapter": adapter.name, **keys})
        with subprocess.Popen(
            command("-s", "main", "--config", config, "--half", "stores"),
            env=clean(),
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            until(lambda: set(raw.scan_iter("cert-*")) > before)
            os.kill(process.pid, signal.SIGINT)
            said = process.stderr.read()
        assert process.returncode == 130, said
        assert said.endswith("memplane: interrupted; what was made is removed\n")
        assert set(raw.scan_iter("cert-*")) == before
        assert raw.get(theirs) == b"kept"
        raw.delete(theirs)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_is_an_interruption(number: signal.Signals) -> None:
    """Unless it is ignored, as under nohup."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), interrupting():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    signal.signal(number, signal.SIG_IGN)
    try:
        with interrupting():
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.05)


def test_a_store_that_nobody_configured(run: Certify, tmp_path: Path) -> None:
    config = configured(tmp_path, memories={"adapter": "embedded"})
    done = run("certify", "--store", "memory", "--config", config)
    assert done.exit_code == 78
    assert 'no store is called "memory"; did you mean "memories"?' in done.stderr


def test_a_store_that_is_down(run: Certify, tmp_path: Path) -> None:
    keys = {"adapter": "redis", "url": "redis://127.0.0.1:1/0", "connect_timeout": 1}
    done = run("certify", "--store", "gone", "--config", configured(tmp_path, gone=keys))
    assert done.exit_code == 69
    assert 'the store "gone"' in done.stderr


def test_a_store_that_cannot_be_kept_apart(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    install(CARDBOX, site)
    done = subprocess.run(
        command("-s", "box", "--config", configured(tmp_path, box={"adapter": "cardbox"})),
        env=clean() | {"PYTHONPATH": str(site)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert "the adapter cardbox names no setting that keeps it apart" in done.stderr


def test_without_pytest_it_says_what_to_install(
    run: Certify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_NEEDED", ("pytest", "a_module_that_nobody_has"))
    done = run("certify", "--store", "embedded")
    assert done.exit_code == 78
    assert "needs a_module_that_nobody_has, which is not installed" in done.stderr
    assert "pip install 'memplane-gateway[conformance]'" in done.stderr
