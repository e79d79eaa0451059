"""`memplane outbox`, and what else the command line says of writes that wait, against real gateways."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.disks import need_disk
from tests.faults.process import Gateway, room
from typer.testing import Result

from memplane import Client, Kind

Run = Callable[..., Result]


def nobody() -> str:
    """The address of a store at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{taken.getsockname()[1]}"


def gateway_at(place: Path, url: str) -> Gateway:
    """A gateway whose procedural memories wait for the store at an address."""
    return Gateway(
        place,
        environ={
            "MEMPLANE_STORES__KEYS__ADAPTER": "redis",
            "MEMPLANE_STORES__KEYS__URL": url,
            "MEMPLANE_ROUTES__PROCEDURAL__STORE": "keys",
            "MEMPLANE_ROUTES__PROCEDURAL__ON_BACKEND_DOWN": "spool",
        },
    )


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """A gateway with three dead letters (d0, d1, d2: they were for another store), and one that waits."""
    with room() as place:
        need_disk(place)
        with gateway_at(place, nobody()) as before, Client(before.address) as client:
            for number in range(3):
                client.scope("n").put(Kind.PROCEDURAL, f"d{number}", value=number)
        with gateway_at(place, nobody()) as after:
            with Client(after.address) as client:
                client.put(Kind.PROCEDURAL, "waits", value="x" * 1000)
            yield after.address


@pytest.fixture
def outbox(run: Run, target: str) -> Run:
    """Runs a word of `memplane outbox` against the gateway."""
    return lambda word, *arguments: run("outbox", word, *arguments, "--target", target)


def document(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def entries(outbox: Run, *arguments: str) -> dict[str, dict[str, Any]]:
    """What is listed, by key."""
    found = document(outbox("list", "-o", "json", *arguments))
    return {entry["ref"]["key"]: entry for entry in found}


def test_list(outbox: Run) -> None:
    found = entries(outbox)
    assert list(found) == ["d0", "d1", "d2", "waits"]
    dead, waiting = found["d0"], found["waits"]
    assert dead["ref"] == {"kind": "procedural", "namespace": ["n"], "key": "d0"}
    assert (dead["dead"], dead["error"]["code"]) == (True, "FAILED_PRECONDITION")
    assert "another store" in dead["error"]["message"]
    assert (waiting["dead"], waiting["error"]) == (False, None)
    assert (waiting["tenant"], waiting["operation"]) == ("default", "put")
    assert waiting["size_bytes"] > 1000
    assert waiting["spool_time"].endswith("Z")
    assert list(entries(outbox, "--dead")) == ["d0", "d1", "d2"]
    assert list(entries(outbox, "--limit", "2")) == ["d0", "d1"]
    assert list(entries(outbox, "--kind", "procedural", "--dead", "--limit", "1")) == ["d0"]
    assert entries(outbox, "-k", "semantic") == {}

    lines = outbox("list").stdout.splitlines()
    assert lines[0].split() == ["ID", "DOES", "TENANT", "NAMESPACE", "KEY", "WRITTEN", "STATE"]
    assert [line.split()[0] for line in lines[1:]] == [each["id"] for each in found.values()]
    assert lines[1].split()[1:6] == ["put", "default", "-n", "n", "d0"]
    assert "dead: left from before: it was for another store" in lines[1]
    assert lines[4].split()[3:5] == ["-", "waits"]
    assert lines[4].endswith("waits")


def test_a_dry_run_drops_nothing(outbox: Run) -> None:
    found = entries(outbox)
    ids = [found[key]["id"] for key in ("d0", "d1", "d2")]
    told = document(outbox("drop", "--all", "--dry-run", "-o", "json"))
    assert told["dry_run"] is True
    assert told["results"] == [
        {"id": each, "outcome": "would be dropped", "error": None} for each in ids
    ]
    shown = outbox("drop", ids[1], "--dry-run")
    assert (shown.exit_code, shown.stdout.split()) == (
        0,
        ["ID", "OUTCOME", ids[1], "would", "be", "dropped"],
    )
    # As it will be without --dry-run: what waits is not dropped, nor what is not there.
    for other in (found["waits"]["id"], "semantic-1"):
        told = document(outbox("drop", ids[0], other, "--dry-run", "-o", "json"), code=1)
        outcomes = [each["outcome"] for each in told["results"]]
        assert outcomes == ["would be dropped", "refused"]
    assert entries(outbox) == found


def test_what_is_refused_ends_with_1(outbox: Run) -> None:
    waiting = entries(outbox)["waits"]["id"]
    for word in ("retry", "drop"):
        told = document(outbox(word, waiting, "procedural-5", "-o", "json"), code=1)
        assert [each["outcome"] for each in told["results"]] == ["refused"] * 2
        codes = [each["error"]["code"] for each in told["results"]]
        assert codes == ["FAILED_PRECONDITION", "NOT_FOUND"]
        shown = outbox(word, waiting)
        assert (shown.exit_code, shown.stdout.split()[-2:]) == (1, [waiting, "refused"])
        assert "is no dead letter" in shown.stderr
    assert "waits" in entries(outbox)


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",),
        ("drop",),
        ("retry", "procedural-1", "--all"),
        ("drop", "procedural-1", "--all", "--dry-run"),
        ("drop", "procedural"),
        ("drop", "procedural-x"),
        ("retry", "procedural-1", ""),
        ("list", "--kind", "sematic"),
        ("list", "--limit", "0"),
        ("list", "procedural"),
    ],
)
def test_wrong_usage_ends_with_2(outbox: Run, arguments: tuple[str, ...]) -> None:
    result = outbox(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_no_gateway_ends_with_69(run: Run) -> None:
    for word in (("list",), ("drop", "--all")):
        result = run("outbox", *word, "--target", "localhost:1", "--timeout", "1")
        assert (result.exit_code, result.stdout) == (69, "")


def test_status_says_what_waits(run: Run, target: str) -> None:
    shown = run("status", "--target", target)
    assert shown.exit_code == 1  # the route does not serve
    assert "procedural: 1 write waits in the outbox, the oldest since 2" in shown.stderr
    assert "; 3 dead letters: memplane outbox list --dead" in shown.stderr
    status = document(run("status", "--target", target, "-o", "json"), code=1)
    semantic, _, procedural = status["routes"]
    assert (semantic["outbox"], semantic["state"]) == (None, "serving")
    figures = procedural["outbox"]
    assert (figures["waiting"], figures["dead"]) == (1, 3)
    assert figures["size_bytes"] > 1000
    assert figures["oldest_time"].endswith("Z")
    assert run("status", "--healthy", "--target", target).exit_code == 0


def test_dead_letters_are_retried_and_dropped(outbox: Run, run: Run, target: str) -> None:
    """The last one here: it uses them up."""
    found = entries(outbox)
    retried = outbox("retry", found["d1"]["id"])
    assert retried.exit_code == 0
    assert retried.stdout.split() == ["ID", "OUTCOME", found["d1"]["id"], "waits", "again"]
    assert list(entries(outbox, "--dead")) == ["d0", "d2"]
    assert not entries(outbox)["d1"]["dead"]
    told = document(outbox("drop", found["d0"]["id"], found["d0"]["id"], "-o", "json"))
    assert told == {
        "dry_run": False,
        "results": [{"id": found["d0"]["id"], "outcome": "dropped", "error": None}],
    }
    assert "1 dead letter: " in run("status", "--target", target).stderr
    told = document(outbox("drop", "--all", "-o", "json"))
    assert [each["id"] for each in told["results"]] == [found["d2"]["id"]]
    assert list(entries(outbox)) == ["d1", "waits"]
    for word in ("drop", "retry"):
        told = document(outbox(word, "--all", "-o", "json"))
        assert told["results"] == []
    said = run("status", "--target", target).stderr
    (line,) = (line for line in said.splitlines() if line.startswith("procedural: 2 writes wait"))
    assert "dead" not in line
