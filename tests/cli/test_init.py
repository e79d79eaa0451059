"""`memplane init`: what it writes is right for every vendor and embedder, and overwrites nothing."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from memplane_gateway.config import First, Settings, first_file, installed, load, vendor
from memplane_gateway.config.models import providers
from memplane_gateway.config.stores import extra_of, find_adapter

Run = Callable[..., Result]
_COMMENTED = re.compile(r"^( *)#(  )?(?=[a-z])", re.MULTILINE)
"""A setting that is a comment; prose has one blank behind the #."""


def loaded(text: str, first: First) -> Settings:
    """What the gateway reads in such a file, with all that it refers to."""
    Path("memplane.yaml").write_text(text)
    environ = {name: f"secret-{name.lower()}" for name in first.variables}
    return load(environ=environ, everything=True)


def without_secrets(settings: Settings) -> dict[str, Any]:
    stores = {
        name: {f.name: getattr(each.settings, f.name) for f in fields(each.settings) if f.repr}
        for name, each in settings.stores.items()
    }
    return {**settings.model_dump(exclude={"stores"}), "stores": stores}


@pytest.mark.parametrize("name", sorted(installed()))
def test_the_file_of_every_vendor_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is, and with every line that is a comment: those say the defaults."""
    monkeypatch.chdir(tmp_path)
    first = first_file([vendor(name)], None, "hash")
    name = vendor(name).name  # which may have others
    settings = loaded(first.text, first)
    assert settings.stores[name].adapter == name
    routes = settings.routes
    kept = {routes.semantic.store, routes.episodic.store, routes.procedural.store}
    assert name in kept
    assert not settings.unused
    whole = _COMMENTED.sub(r"\1\2", first.text)
    assert whole.count("\n#") < first.text.count("\n#")
    every = set(re.findall(r'"env:(\w+)"', whole))
    again = First(whole, "", (), tuple(every))
    assert without_secrets(loaded(whole, again)) == without_secrets(settings)


@pytest.mark.parametrize("name", sorted(installed()))
def test_every_setting_of_every_vendor_stands_there(name: str) -> None:
    text = first_file([vendor(name)], None, "hash").text
    for field in fields(find_adapter(name).settings):
        assert re.search(rf"^    #?{field.name}: ", text, re.MULTILINE), field.name


@pytest.mark.parametrize("name", sorted(providers()))
def test_the_file_of_every_embedder_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = first_file([], None, name)
    settings = loaded(first.text, first)
    assert settings.embedders[name].provider == name
    assert settings.routes.semantic.embedder == settings.routes.episodic.embedder == name
    whole = _COMMENTED.sub(r"\1\2", first.text)
    assert loaded(whole, first).embedders == settings.embedders


def stores(result: Result) -> list[str]:
    """The stores of the three kinds in what was printed."""
    assert result.exit_code == 0, result.output
    return re.findall(r"store: ([a-z0-9-]+)[,}]", result.stdout)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["embedded"] * 3),
        (["qdrant"], ["qdrant", "qdrant", "embedded"]),
        (["redis"], ["embedded", "embedded", "redis"]),
        (["redis", "chroma", "qdrant"], ["chroma", "chroma", "redis"]),
        (["qdrant", "--procedural", "postgres"], ["qdrant", "qdrant", "postgres"]),
        (["embedded", "redis"], ["embedded", "embedded", "redis"]),
        (["valkey", "--procedural", "embedded:b.db"], ["embedded", "embedded", "embedded-2"]),
    ],
)
def test_who_keeps_what(run: Run, arguments: list[str], expected: list[str]) -> None:
    assert stores(run("init", *arguments, "-o", "-")) == expected
    assert not Path("memplane.yaml").exists()


def test_an_address_is_set_and_its_secret_is_not(run: Run) -> None:
    result = run("init", "redis://ada:hush-hush@db:6380/1?timeout=3", "-o", "-")
    assert 'url: "redis://db:6380/1"' in result.stdout
    assert "\n    username: ada\n" in result.stdout
    assert "\n    timeout: 3.0\n" in result.stdout
    assert '\n    password: "env:REDIS_PASSWORD"\n' in result.stdout
    assert "hush" not in result.output
    assert "export REDIS_PASSWORD=" in result.stderr


def test_nothing_is_overwritten_without_a_word(run: Run) -> None:
    file = Path("memplane.yaml")
    file.write_text("mine")
    result = run("init", "qdrant")
    assert (result.exit_code, file.read_text()) == (1, "mine")
    assert "--force" in result.stderr
    assert run("init", "qdrant", "--force").exit_code == 0
    assert "adapter: qdrant" in file.read_text()
    assert run("config", "check").exit_code == 0
    assert run("init", "-o", "other/memplane.yaml").exit_code == 74


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["qdrnt"], 'no vendor "qdrnt" (did you mean "qdrant"?; there are: '),
        (["chroma", "--procedural", "qdrant"], "qdrant keeps no key-values"),
        (["--embedder", "open-ai"], 'no embedder "open-ai" (did you mean "openai"?; there are: '),
        (["qdrant+http://ada:hush@db"], "qdrant: url should hold no credentials; use api_key"),
        (["qdrant+http://db?grpcport=1"], 'grpcport: unknown setting of adapter "qdrant"'),
    ],
)
def test_what_is_wrong_is_said(run: Run, arguments: list[str], said: str) -> None:
    result = run("init", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "hush" not in result.stderr
    assert not Path("memplane.yaml").exists()


def test_what_is_next_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"qdrant_client", "fastembed"}
    for module in ("stores", "first"):
        monkeypatch.setattr(
            f"memplane_gateway.config.{module}.find_spec",
            lambda name: None if name in lacking else find_spec(name),
        )
    said = run("init", "qdrant", "--embedder", "fastembed", "-o", "a b.yaml").stderr.splitlines()
    assert said == [
        "wrote a b.yaml: SEMANTIC and EPISODIC in qdrant, PROCEDURAL in embedded, embedder fastembed",
        "next:",
        "  pip install 'memplane-gateway[fastembed,qdrant]'",
        "  memplane doctor --config 'a b.yaml'    # does it work here?",
        "  memplane serve --config 'a b.yaml'",
    ]


def test_variables_that_are_set_are_not_asked_for(run: Run) -> None:
    Path(".env").write_text("OPENAI_API_KEY=x\n")
    assert "export" not in run("init", "--embedder", "openai", "-o", "-").stderr
    Path(".env").unlink()
    assert "export OPENAI_API_KEY=" in run("init", "--embedder", "openai", "-o", "-").stderr


def test_an_extra_is_named_like_its_entry_point() -> None:
    assert {extra_of(name) for name in ("chroma", "redis")} == {
        "memplane-gateway[chroma]",
        "memplane-gateway[redis]",
    }


def asked(place: Path, answers: bytes, environ: Mapping[str, str]) -> str:
    """What it says on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "memplane_gateway.cli", "init"]
    with subprocess.Popen(
        command, cwd=place, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        os.write(ours, answers)
        said = b""
        while True:
            try:
                said += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait() == 0, said
    os.close(ours)
    return said.decode()


def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MEMPLANE_")}
    said = asked(tmp_path, b"qdrant\nredis\n", environ)
    assert "Which store keeps SEMANTIC and EPISODIC memories (embedded, chroma, " in said
    assert "(embedded, postgres, redis)? [embedded]" in said
    assert "SEMANTIC and EPISODIC in qdrant, PROCEDURAL in redis" in said
    assert (tmp_path / "memplane.yaml").exists()


def test_what_cannot_be_written_leaves_the_file_that_is_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is cut short would be read: an empty one means the embedded store."""
    monkeypatch.chdir(tmp_path)
    there = Path("memplane.yaml")
    there.write_text("routes: {}\n")
    Path(".memplane.yaml.new").symlink_to("/dev/full")
    assert run("init", "qdrant", "--force").exit_code == 74
    assert there.read_text() == "routes: {}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memplane.yaml"]
