"""`memplane ingest` and `memplane scan` against a real gateway: what goes in, what comes out."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typer.testing import Result

from memplane import Client, IndexedText, Kind, Memory, Put
from memplane_gateway.cli.bar import Bar

from .strategies import puts, told

Run = Callable[..., Result]
MEMPLANE = (sys.executable, "-m", "memplane_gateway.cli")
SECONDS = 60
FULL = Path("/dev/full")


@pytest.fixture
def call(run: Run, target: str) -> Run:
    """Runs a word against the gateway."""
    return lambda word, *arguments, **rest: run(word, "--target", target, *arguments, **rest)


@pytest.fixture(scope="module")
def client(target: str) -> Iterator[Client]:
    with Client(target) as made:
        yield made


def written(path: Path, *given: Any) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in given), encoding="utf-8")
    return str(path)


def document(result: Result, status: int = 0) -> Any:
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


def told_by_ref(memories: Iterable[Memory | Put]) -> dict[tuple[Any, ...], Any]:
    """What memories are, by where they are below the first label."""
    return {(*each.ref.namespace[1:], each.ref.key): told(each, 1) for each in memories}


def test_a_file_goes_in_and_again_changes_nothing(
    call: Run, client: Client, namespace: str, tmp_path: Path
) -> None:
    file = written(
        tmp_path / "some.jsonl",
        "Prefers tea",
        {"text": "Prefers tea", "attributes": {"n": 1}},
        {"kind": "procedural", "namespace": ["ada"], "key": "tone", "value": {"style": "short"}},
    )
    command = ("ingest", file, "-n", namespace, "--batch-items", "2")
    done = call(*command)
    assert (done.exit_code, done.stdout) == (0, "3 created\n")
    scope = client.scope(namespace)
    before = {memory.key: memory.revision for memory in scope.list("semantic")}
    assert len(before) == 2, "memories without a key are told apart by their place"
    tone = scope.get("procedural", "tone")
    assert tone is None, "its namespace lies below the given one"
    assert scope.scope("ada").value("tone") == {"style": "short"}
    again = document(call(*command, "-o", "json"))
    assert (again["replayed"], again["refused"]) == (3, 0)
    assert {memory.key: memory.revision for memory in scope.list("semantic")} == before
    # The keys do not depend on how batches are cut: all is found to be there.
    other = document(call(*command[:-1], "3", "-o", "json"))
    assert (other["unchanged"], other["replayed"]) == (3, 0)
    elsewhere = document(call("ingest", file, "-n", namespace, "-n", "b", "-o", "json"))
    assert elsewhere["created"] == 3


def test_what_is_refused_is_named_by_its_line(
    call: Run, client: Client, namespace: str, tmp_path: Path
) -> None:
    bad: list[Any] = [{"txt": "x"}] * 24
    file = written(
        tmp_path / "some.jsonl",
        {"text": "good"},
        *bad,
        {"text": "a", "importance": 7},
        {"text": "b", "importance": 8},
        {"text": "also good"},
    )
    done = call("ingest", file, "-n", namespace, "--batch-items", "1")
    assert done.exit_code == 1
    assert done.stdout == "2 created, 26 refused\n"
    said = done.stderr.splitlines()
    assert said[0] == 'refused: line 2: has the unknown field "txt"; did you mean text?'
    assert len(said) == 21
    assert said[-1] == "... and 6 more"
    assert client.scope(namespace).count("semantic") == 2
    told = document(call("ingest", file, "-n", namespace, "-o", "json"), status=1)
    assert told["refused"] == 26
    assert told["problems"][-2:] == [
        {"where": "line 26", "reason": "importance: is not between 0 and 1"},
        {"where": "line 27", "reason": "importance: is not between 0 and 1"},
    ]


def test_a_dry_run_needs_no_gateway(run: Run, tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": f"turn {i}"} for i in range(7)]}
    file = written(tmp_path / "talk.json", talk)
    nowhere = ("ingest", file, "--dry-run", "--target", "localhost:1", "-n", "a")
    shown = run(*nowhere)
    assert shown.exit_code == 0
    assert shown.stdout.startswith("chat: 7 memories (7 episodic)\nNAMESPACE")
    assert shown.stdout.count("turn ") == 5
    told = document(run(*nowhere, "-o", "json"))
    assert (told["format"], told["memories"], told["refused"]) == ("chat", 7, 0)
    assert told["first"][0]["episode"]["session_id"] == "talk"
    broken = run("ingest", written(tmp_path / "x", {"txt": 1}), "--dry-run")
    assert broken.exit_code == 1
    assert "refused: line 1: " in broken.stderr


def test_a_chat_that_is_touched_is_the_same_memories(
    call: Run, client: Client, namespace: str, tmp_path: Path
) -> None:
    talk = {"messages": [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "[1]"}]}
    file = written(tmp_path / "talk.json", talk)
    command = ("ingest", file, "-n", namespace, "-o", "json")
    assert document(call(*command))["created"] == 2
    assert document(call(*command))["replayed"] == 2
    os.utime(file, (1, 1))
    assert document(call(*command))["updated"] == 2
    first, second = client.scope(namespace).list("episodic", order="event_time")
    assert first.episode is not None
    assert second.episode is not None
    assert first.episode.event_time is not None
    assert first.episode.event_time.timestamp() == 1.000001
    assert (second.episode.type, second.episode.output) == ("observation", [1])


def test_what_is_overwritten_is_counted(call: Run, namespace: str, tmp_path: Path) -> None:
    files = [
        written(tmp_path / name, {"id": "1", "messages": [{"role": "user", "content": name}]})
        for name in ("one", "two")
    ]
    first, second = (call("ingest", file, "-n", namespace) for file in files)
    assert (first.stdout, first.stderr) == ("1 created\n", "")
    assert second.stdout == "0 created, 1 updated\n"
    assert "memplane: 1 overwritten: their keys were there with other content" in second.stderr


def test_stdin_cannot_be_read_again(call: Run, namespace: str) -> None:
    done = call("ingest", "-", "-n", namespace, stdin='"tea"\n')
    assert done.stdout == "1 created\n"
    assert "cannot be read again" in done.stderr
    named = call("ingest", "-", "-n", namespace, "--ingest-id", namespace, stdin='"tea"\n')
    assert (named.stdout, named.stderr) == ("1 created\n", "")
    again = call("ingest", "-", "-n", namespace, "--ingest-id", namespace, stdin='"tea"\n')
    assert again.stdout == "1 created (1 of these by an earlier run)\n"


@pytest.mark.parametrize(
    ("content", "options", "status", "said"),
    [
        ('{\n"a": 1\n}', (), 1, "one JSON document and neither a chat nor LoCoMo"),
        ('[{"role": "user"}]', ("--kind", "semantic"), 2, "read as chat is episodic"),
        ('"a"', ("--batch-items", "1001"), 2, "--batch-items"),
        ('"a"', ("--target", "localhost:1"), 69, "no gateway answers at localhost:1"),
        (None, (), 74, "cannot be read: No such file or directory"),
    ],
)
def test_how_it_ends(
    call: Run, content: str | None, options: tuple[str, ...], status: int, said: str
) -> None:
    file = Path("file")  # in an empty directory
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = call("ingest", str(file), *options)
    assert done.exit_code == status
    assert said in done.stderr


def test_it_is_interrupted_and_goes_on(
    client: Client, target: str, namespace: str, tmp_path: Path
) -> None:
    total = 3000
    line = {"kind": "procedural", "value": "x" * 200}
    file = written(tmp_path / "many", *({**line, "key": f"k{i:05}"} for i in range(total)))
    command = [*MEMPLANE, "ingest", file, "--target", target, "-n", namespace]
    command += ["--batch-items", "5"]
    scope = client.scope(namespace)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + SECONDS
        while not scope.count("procedural"):
            assert time.monotonic() < end, "nothing was written"
        process.send_signal(signal.SIGINT)
        try:
            _, stderr = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
    assert process.returncode == 130
    assert b"stopping after what is under way" in stderr
    assert b"the same command goes on from there" in stderr
    assert b"Traceback" not in stderr
    before = scope.count("procedural")
    assert 0 < before < total
    done = subprocess.run(
        [*command, "-o", "json"], capture_output=True, check=True, timeout=SECONDS
    )
    result = json.loads(done.stdout)
    assert result["created"] == total
    assert result["replayed"] >= before
    assert scope.count("procedural") == total


def test_progress_is_a_bar_on_a_terminal(target: str, namespace: str, tmp_path: Path) -> None:
    file = written(tmp_path / "some", *({"kind": "procedural", "value": i} for i in range(20)))
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*MEMPLANE, "ingest", file, "--target", target, "-n", namespace, "--batch-items", "1"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        check=True,
        timeout=SECONDS,
    )
    os.close(theirs)
    assert done.stdout == b"20 created\n"
    drawn = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "20 memories" in drawn
    assert "100%" in drawn


def test_progress_is_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(200, every=0) as progress:
        progress.at(100, 1500)
    with Bar(None, every=0) as progress:
        progress.at(100, 7)
    with Bar(200, lines=False, every=0) as progress:
        progress.at(100, 1)
    assert capsys.readouterr().err == "1,500 memories, 50 %\n7 memories\n"


# --- scan -------------------------------------------------------------------------------------


@settings(
    max_examples=8,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # to shrink through a gateway takes long
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_scan_and_ingest_lose_nothing(call: Run, client: Client, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(Kind))
    here, there = (f"test-{uuid.uuid4()}" for _ in range(2))
    memories = data.draw(st.lists(puts(kind, (here,)), max_size=12, unique_by=lambda put: put.ref))
    client.put_many(memories).raise_for_error()
    scanned = call("scan", "-k", kind.value, "-n", here)
    assert scanned.exit_code == 0
    brought = call("ingest", "-", "-f", "jsonl", "-n", there, stdin=scanned.stdout_bytes)
    assert brought.exit_code == 0, brought.stderr
    now_here, now_there = (told_by_ref(client.scope(x).list(kind)) for x in (here, there))
    assert now_here == now_there == told_by_ref(memories)
    assert call("scan", "-k", kind.value, "-n", there).stdout == scanned.stdout


def test_scan_takes_a_filter_and_vectors(call: Run, client: Client, namespace: str) -> None:
    scope = client.scope(namespace)
    scope.remember("tea", key="t", attributes={"n": 1})
    scope.scope("below").remember("cake", key="c", attributes={"n": 2})
    scan = ("scan", "-n", namespace)
    lines = [json.loads(line) for line in call(*scan, "--with-vectors").stdout.splitlines()]
    assert [(line.get("namespace"), line["key"]) for line in lines] == [
        (None, "t"),
        (["below"], "c"),
    ]
    vector = scope.get("semantic", "t", with_vectors=True)
    assert vector is not None
    assert lines[0]["vector"] == list(vector.vector or ())
    assert "cake" not in call(*scan, "--exact").stdout
    (line,) = call(*scan, "--filter", '{"n": {"$gte": 2}}').stdout.splitlines()
    assert json.loads(line) == {
        "kind": "semantic", "namespace": ["below"], "key": "c", "text": "cake", "attributes": {"n": 2},
    }  # fmt: skip


def test_vectors_of_clients_come_back_and_those_of_embedders_are_made_anew(
    call: Run, client: Client, namespace: str
) -> None:
    scope = client.scope(namespace)
    scope.remember("made", key="made")
    made = scope.get("semantic", "made", with_vectors=True)
    assert made is not None
    assert made.vector is not None
    own = [0.6, 0.8] + [0.0] * (len(made.vector) - 2)
    client.put_many(
        [
            Put(scope.ref("semantic", "own"), text="own", vector=own),
            Put(scope.ref("semantic", "alone"), vector=own),
            Put(
                scope.ref("semantic", "further"),
                text="further",
                indexed_texts=[IndexedText("t", "text"), IndexedText("v", vector=own)],
            ),
        ]
    ).raise_for_error()

    def providers(there: str) -> dict[str, tuple[str, Any, Any]]:
        found = client.scope(there).scan("semantic", with_vectors=True)
        return {
            m.key: (m.embedding.provider, m.vector, m.indexed_texts) for m in found if m.embedding
        }

    here = providers(namespace)
    assert (here["made"][0], here["own"][0]) == ("hash", "client")
    scanned = ""
    for number, options in enumerate([(), ("--with-vectors",)]):
        scanned = call("scan", "-n", namespace, *options).stdout
        lines = {line["key"]: line for line in map(json.loads, scanned.splitlines())}
        assert [key for key in sorted(lines) if "vector" in lines[key]] == (
            ["alone", "further", "made", "own"] if options else ["alone", "own"]
        )
        for there in (f"{namespace}-{number}", namespace):
            brought = call("ingest", "-", "-n", there, "-o", "json", stdin=scanned)
            count = {"created": 4} if there != namespace else {"unchanged": 4}
            assert document(brought) | count == document(brought)
            assert providers(there) == here
    kept = call("ingest", "-", "--with-vectors", "-n", f"{namespace}-k", stdin=scanned)
    assert kept.exit_code == 0
    assert providers(f"{namespace}-k")["made"] == ("client", *here["made"][1:])


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_is_said(client: Client, target: str, namespace: str) -> None:
    client.scope(namespace).set("k", "x" * 100_000)
    scan = [*MEMPLANE, "scan", "-k", "procedural", "-n", namespace, "--target", target]
    with FULL.open("w") as full:
        done = subprocess.run(
            scan, stdout=full, stderr=subprocess.PIPE, check=False, timeout=SECONDS
        )
        ingest = [*MEMPLANE, "ingest", "-", "--dry-run", "-o", "json"]
        brought = subprocess.run(
            ingest, input=b"", stdout=full, stderr=subprocess.PIPE, check=False, timeout=SECONDS
        )
    for each in (done, brought):
        assert each.returncode == 74
        assert each.stderr == b"memplane: the output is not whole: No space left on device\n"


def test_what_the_same_command_cannot_mend_is_not_said_to_go_on(
    call: Run, namespace: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "some", "tea")
    refused = call("ingest", file, "-n", namespace, "--ingest-id", "")
    assert refused.exit_code == 2
    assert "ingest_id" in refused.stderr
    assert "goes on" not in refused.stderr


def test_scan_goes_on_from_a_token(call: Run, client: Client, namespace: str) -> None:
    scope = client.scope(namespace)
    for key in ("a", "b", "c"):
        scope.set(key, 1)
    cut = scope.scan("procedural", page_size=1)
    seen = iter(cut)
    assert [next(seen).key, next(seen).key] == ["a", "b"]
    scan = ("scan", "-k", "procedural", "-n", namespace)
    rest = call(*scan, "--page-token", cut.next_page_token)
    assert [json.loads(line)["key"] for line in rest.stdout.splitlines()] == ["b", "c"]
    wrong = call(*scan, "--page-token", "x")
    assert wrong.exit_code == 2
    assert "goes on" not in wrong.stderr, "nothing came that could go on"
    assert call("scan", "--target", "localhost:1").exit_code == 69
