"""The examples run as their first lines say, and tell what they should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import memplane

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def said(example: str, *arguments: object) -> list[str]:
    """The lines that an example prints."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / example), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_every_example_is_run() -> None:
    tested = {"agent_loop.py", "import_chat.py", "switch_vendors.py"}
    assert {file.name for file in EXAMPLES.glob("*.py")} == tested
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"[{name}]({name})" in readme for name in tested)


def test_agent_loop(tmp_path: Path) -> None:
    first = said("agent_loop.py", tmp_path)
    assert "agent: Sure! Nora rides a cargo bike" in first
    assert "agent: Sure! Nora wants text messages" in first
    assert first[-3] == "visit 1: 2 facts, 8 turns, the last ones:"
    assert first[-2:] == ["  user: Calls or text messages?", f"  {first[-4]}"]
    assert "visit 2: 2 facts, 8 turns, the last ones:" in said("agent_loop.py", tmp_path)


def test_import_chat(tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    chat = {"id": "c-1", "created_at": 1767225600, "messages": messages}
    file.write_text(json.dumps(chat), encoding="utf-8")
    with memplane.local(tmp_path / "data") as client:
        first = said("import_chat.py", file, client.target)
        assert first == [
            "batch 1: 2 answered",
            "2 turns are there, 0 of them from an earlier run",
            "  user: Hi",
            "  assistant: Hello",
        ]
        again = said("import_chat.py", file, client.target)
        assert again[1] == "2 turns are there, 2 of them from an earlier run"
        assert client.count("episodic") == 2


def test_switch_vendors(tmp_path: Path) -> None:
    lines = said("switch_vendors.py", tmp_path)
    assert lines[:2] == ["copied 5 memories", "caught up with 1"]
    assert [line[13:] for line in lines[2:5]] == [
        "Prefers black tea in the morning",
        "Bakes carrot cake on Sundays",
        "Lives in Oslo near the harbour",
    ]
    assert lines[5] == "the same answers from embedded and qdrant"
