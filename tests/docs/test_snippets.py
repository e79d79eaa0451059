"""Every snippet of the README and of the pages behind it runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from memplane_gateway.adopting import read_adoption
from memplane_gateway.config import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


MAPPINGS = [match[2] for match in _FENCE.finditer((ROOT / "docs" / "adopt.md").read_text("utf-8"))]


def snippets(language: str) -> list[object]:
    return [
        pytest.param(match[2], id=f"{page.name}-{number}")
        for page in PAGES
        for number, match in enumerate(_FENCE.finditer(page.read_text(encoding="utf-8")))
        if match[1] == language
    ]


def test_every_snippet_has_a_language_that_is_tested() -> None:
    languages = {
        match[1] for page in PAGES for match in _FENCE.finditer(page.read_text(encoding="utf-8"))
    }
    assert languages <= {"python", "sh", "yaml", "text", "dockerfile"}


@pytest.mark.parametrize("code", snippets("python"))
def test_python(code: str, gateway: str, tmp_path: Path) -> None:
    code = code.replace("localhost:50051", gateway)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if "print(hit" in code:
        assert "Prefers tea in the morning" in done.stdout


@pytest.mark.parametrize("text", snippets("yaml"))
def test_yaml(text: str, tmp_path: Path) -> None:
    assert yaml.safe_load(text)
    file = tmp_path / "memplane.yaml"
    file.write_text(text, encoding="utf-8")
    environ = dict.fromkeys(re.findall(r"env:(\w+)", text), "secret")
    for name in re.findall(r"adopt: (\S+\.yaml)", text):  # a mapping of the same page, by its title
        (mapping,) = (each for each in MAPPINGS if each.startswith(f"# {name}\n"))
        (tmp_path / name).write_text(mapping, encoding="utf-8")
    if re.search(r"^source:", text, re.MULTILINE):  # a mapping; tests/cli/test_adopt.py runs it
        assert read_adoption(file, environ).source.collection
        return
    settings = load(file, environ=environ)
    assert settings.file == file


@pytest.mark.parametrize("text", snippets("sh"))
def test_shell(text: str, gateway: str, tmp_path: Path) -> None:
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == [".venv/bin/memplane"]:
            environment = {**os.environ, "MEMPLANE_TARGET": gateway}
            program = str(Path(sys.executable).with_name("memplane"))
            # In a shell, for there are pipes.
            done = subprocess.run(
                line.replace(words[0], shlex.quote(program)),
                shell=True,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        elif words[:1] == ["make"]:
            # That a target does what it says is what CI and a fresh clone show.
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
