"""The words that are clients, against a real gateway: what they print, and how they end."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from memplane import (
    Client,
    Kind,
    RenewalStatus,
    RouteState,
    SweepCause,
    SweepFailure,
    SweepRule,
    SweepRun,
    Unavailable,
)

Run = Callable[..., Result]


@pytest.fixture
def call(run: Run, target: str, namespace: str) -> Run:
    """Runs a word against the gateway, in a namespace of its own."""

    def invoke(word: str, *arguments: str, **rest: Any) -> Result:
        return run(word, *arguments, "--target", target, "-n", namespace, "-n", "ada", **rest)

    return invoke


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_put_and_get_keep_types(call: Run, namespace: str) -> None:
    written = document(
        call(
            *("put", "Prefers tea", "--key", "tea", "--output", "json", "--ttl", "7d"),
            *("--attr", "topic=food", "--attr", "n=3", "--attr", "ok=true", "--attr", 'l=["a"]'),
            *("--attr", "x=NaN", "--attr", "eq=a=b", "--value", '{"big": 9007199254740993}'),
        )
    )
    assert written["outcome"] == "created"
    assert written["namespace"] == [namespace, "ada"]
    assert written["durability"] == "disk"
    read = document(call("get", "tea", "-o", "json"))
    assert read["attributes"] == {
        "topic": "food",
        "n": 3,
        "ok": True,
        "l": ["a"],
        "x": "NaN",
        "eq": "a=b",
    }
    assert read["value"] == {"big": 9007199254740993}
    assert read["etag"] == written["etag"]
    assert read["expire_time"].endswith("Z")
    assert (read["kind"], read["key"], read["text"]) == ("semantic", "tea", "Prefers tea")
    assert "Prefers tea" in call("get", "tea").stdout


def test_put_reads_stdin_and_mints_keys(call: Run) -> None:
    written = document(call("put", "-", "-o", "json", stdin="two\nlines\n"))
    assert written["key"]
    assert document(call("get", written["key"], "-o", "json"))["text"] == "two\nlines"


def test_preconditions(call: Run) -> None:
    etag = document(call("put", "a", "--key", "k", "--if-absent", "-o", "json"))["etag"]
    again = call("put", "b", "--key", "k", "--if-absent")
    assert again.exit_code == 1
    assert again.stdout == ""
    assert "ALREADY_EXISTS" in again.stderr
    refused = call("put", "b", "--key", "k", "--if-match", "other", "-o", "json")
    assert refused.exit_code == 1
    assert json.loads(refused.stderr)["error"]["metadata"] == {"etag": etag}
    assert (
        document(call("put", "b", "--key", "k", "--if-match", etag, "-o", "json"))["etag"] != etag
    )


def test_procedural_and_episodic(call: Run) -> None:
    call("put", "--kind", "procedural", "--key", "tone", "--value", '{"style": "short"}')
    tone = document(call("get", "tone", "-k", "procedural", "-o", "json"))
    assert tone["value"] == {"style": "short"}
    call("put", "asked for a refund", "-k", "episodic", "--session", "s-1", "--actor", "ada")
    (hit,) = document(call("search", "refund", "-k", "episodic", "-o", "json"))["hits"]
    assert hit["memory"]["episode"]["session_id"] == "s-1"
    assert hit["memory"]["episode"]["event_time"].endswith("Z")
    assert "style" in call("list", "-k", "procedural").stdout


def test_search_list_and_count(call: Run) -> None:
    for number in range(5):
        call("put", f"tea number {number}", "--key", f"k{number}", "--attr", f"n={number}")
    found = document(
        call("search", "tea", "--filter", '{"n": {"$gte": 3}}', "--limit", "1", "-o", "json")
    )
    assert [hit["memory"]["attributes"]["n"] >= 3 for hit in found["hits"]] == [True]
    assert found["mode"] == "keyword"
    assert "words, not meaning" in found["notice"]
    recent = document(call("search", "--mode", "recent", "-o", "json"))
    assert [hit["memory"]["key"] for hit in recent["hits"]] == ["k4", "k3", "k2", "k1", "k0"]
    lines = call("list", "--descending", "--limit", "2", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["k4", "k3"]
    assert call("count", "--filter", '{"n": 2}').stdout == "1\n"
    counted = document(call("count", "-o", "json"))
    assert counted == {"kind": "semantic", "count": 5, "truncated": False}
    table = call("search", "tea")
    assert table.stdout.startswith("RELEVANCE  NAMESPACE")
    assert "5 found, mode keyword" in table.stderr


def test_purge(call: Run) -> None:
    for number in range(5):
        call("put", "tea", "--key", f"k{number}", "--attr", f"n={number}")
    some = ("purge", "--filter", '{"n": {"$gte": 3}}')
    assert call(*some, "--dry-run").stdout == "2 would be deleted\n"
    shown = document(call(*some, "-o", "json"))
    assert (shown["kind"], shown["dry_run"], shown["count"]) == ("semantic", False, 2)
    assert call(*some).stdout == "0 deleted\n"
    assert call("purge", "--exact").stdout == "3 deleted\n"
    assert call("count").stdout == "0\n"


def test_forget(call: Run) -> None:
    for name in ("low", "high", "other"):
        call("put", "tea", "--key", name, "--attr", f"name={name}")
    some = ("forget", "--importance-below", "0.6", "--half-life", "52w")
    table = call(*some, "--filter", '{"name": {"$ne": "high"}}', "--dry-run")
    assert table.stdout.splitlines()[0].split() == [
        *("NAMESPACE", "KEY", "AGE", "INACTIVE", "IMPORTANCE")
    ]
    assert [line.split()[-4:] for line in table.stdout.splitlines()[1:]] == [
        ["low", "-", "-", "0.500"],
        ["other", "-", "-", "0.500"],
    ]
    assert table.stderr == "2 would be deleted\n"
    shown = document(call("forget", "--older-than", "0.001s", "--exact", "-o", "json"))
    assert (shown["kind"], shown["dry_run"], shown["count"]) == ("semantic", False, 3)
    assert [each["ref"]["key"] for each in shown["memories"]] == ["high", "low", "other"]
    assert shown["memories"][0]["age"] > 0
    assert shown["memories"][0]["importance"] is None
    assert call("forget", "--inactive-for", "1d").stderr == "0 deleted\n"
    nothing = call("forget", "-o", "json")
    assert (nothing.exit_code, json.loads(nothing.stderr)["error"]["code"]) == (
        2,
        "INVALID_ARGUMENT",
    )
    assert "--older-than" in call("forget", "--older-than", "soon").stderr


def test_consolidate(call: Run) -> None:
    for name in ("a", "b", "c"):
        call("put", "green tea", "--key", name, "--attr", f"{name}=true")
    dry = call("consolidate", "--dry-run")
    assert dry.stdout.splitlines()[0].split() == ["NAMESPACE", "MERGED", "INTO", "SIMILARITY"]
    assert [line.split()[-3:] for line in dry.stdout.splitlines()[1:]] == [
        ["a", "c", "1.000"],
        ["b", "c", "1.000"],
    ]
    assert dry.stderr == "2 would be merged into 1\n"
    shown = document(call("consolidate", "--min-similarity", "0.99", "-o", "json"))
    assert (shown["merged_count"], shown["conflicts"], len(shown["groups"])) == (2, 0, 1)
    assert shown["groups"][0]["kept"]["key"] == "c"
    assert document(call("get", "c", "-o", "json"))["attributes"] == dict.fromkeys("abc", True)
    assert call("consolidate").stderr == "0 merged into 0\n"
    refused = call("consolidate", "--kind", "procedural")
    assert (refused.exit_code, "UNIMPLEMENTED" in refused.stderr) == (1, True)


def test_sweep(run: Run, target: str) -> None:
    room = ("--kind", "episodic", "-n", "capped", "--target", target)
    for number in range(5):
        run("put", "tea", "--key", f"k{number}", *room)
    shown = document(run("sweep", "--dry-run", "-o", "json", "--target", target))
    assert (shown["dry_run"], shown["failures"]) == (True, [])
    cap = {"kind": "episodic", "cause": "max_items", "namespace": ["capped"]}
    assert {**cap, "count": 3} in shown["rules"]
    assert [each["ref"]["key"] for each in shown["examples"]] == ["k0", "k1", "k2"]
    tried = run("sweep", "--dry-run", "--target", target)
    assert "episodic  -n capped  k0   max_items" in tried.stdout
    assert tried.stdout.endswith("3 would be deleted\n")
    swept = run("sweep", "--target", target)
    assert "episodic    max items  -n capped  3" in swept.stdout
    assert (swept.exit_code, swept.stdout.splitlines()[-1]) == (0, "3 deleted")
    assert run("count", *room).stdout == "2\n"


def test_namespaces(run: Run, target: str, namespace: str) -> None:
    space = ("--target", target, "-n", namespace)
    for labels in (("-n", "a b"), ("-n", "a b", "-n", "c"), ("-n", "d", "-n", "c")):
        run("put", "tea", *space, *labels)
    shown = run("namespaces", *space, "--suffix", "c", "-o", "json").stdout.splitlines()
    assert [json.loads(line)["namespace"][1:] for line in shown] == [["a b", "c"], ["d", "c"]]
    table = run("namespaces", *space, "--max-depth", "1", "--prefix", "*").stdout
    assert [line.split()[-1] for line in table.splitlines()] == ["DEPTH", "2", "2"]
    assert f"-n {namespace} -n 'a b' " in table


def test_stats(call: Run) -> None:
    for number in range(2):
        call("put", "tea", "--key", f"k{number}", "--attr", f"n={number}")
    shown = document(call("stats", "-o", "json"))
    assert [each["count"] for each in shown.values()] == [2, 0, 0]
    assert (shown["semantic"]["mean_importance"], shown["semantic"]["truncated"]) == (None, False)
    assert shown["semantic"]["newest"] > shown["semantic"]["oldest"]
    assert shown["episodic"]["oldest"] is None
    table = call("stats", "--kind", "semantic", "--filter", '{"n": 1}').stdout.splitlines()
    assert table[0].split() == ["KIND", "MEMORIES", "OLDEST", "NEWEST", "IMPORTANCE"]
    assert table[1].split()[:2] == ["semantic", "1"]
    assert len(table) == 2


def test_a_purge_of_everything_has_to_be_confirmed(run: Run, target: str) -> None:
    refused = run("purge", "--kind", "episodic", "--target", target)
    assert refused.exit_code == 2
    assert "confirm_all" in refused.stderr

    done = run("purge", "--kind", "episodic", "--target", target, "--confirm-all")
    assert (done.exit_code, done.stdout.endswith(" deleted\n")) == (0, True)
    assert run("count", "--kind", "episodic", "--target", target).stdout == "0\n"


def test_further_texts(call: Run) -> None:
    call("put", "a note", "--key", "k", "--also", "title=green tea", "--also", "a=b=c")
    memory = document(call("get", "k", "-o", "json"))
    texts = [{"path": "title", "text": "green tea"}, {"path": "a", "text": "b=c"}]
    assert memory["indexed_texts"] == texts
    assert "green tea" in call("get", "k").stdout
    (hit,) = document(call("search", "green tea", "-m", "vector", "-o", "json"))["hits"]
    assert hit["matched_path"] == "title"
    assert "MATCHED" in call("search", "green tea", "-m", "vector").stdout
    assert "MATCHED" not in call("search", "green tea", "-m", "keyword").stdout
    for wrong in (("--also", "title"), ("--also", "a=b", "--also", "a=c")):
        assert call("put", "x", *wrong).exit_code == 2


def test_search_by_both_lists_and_what_it_is_made_of(call: Run) -> None:
    for number, text in enumerate(("green tea", "black tea", "green apples")):
        call("put", text, "--key", f"k{number}")
    found = document(call("search", "green tea", "-m", "hybrid", "--explain", "-o", "json"))
    assert found["mode"] == "hybrid"
    assert not found["truncated"]
    first = found["hits"][0]
    assert first["memory"]["key"] == "k0"
    assert (first["explanation"]["vector_rank"], first["explanation"]["keyword_rank"]) == (1, 1)
    table = call("search", "green tea", "-m", "hybrid", "--explain").stdout
    assert table.startswith("RELEVANCE  PARTS")
    assert "keyword_rank 1, fused 1.000" in table
    plain, weighed = (
        document(call("search", "tea", "--importance-weight", weight, "-o", "json"))["hits"]
        for weight in ("0", "1")
    )
    assert len(plain) == len(weighed) == 2
    assert weighed[0]["relevance"] == plain[0]["relevance"] / 2
    like = document(call("search", "--like", "k0", "--diversity", "0.3", "-o", "json"))
    assert {hit["memory"]["key"] for hit in like["hits"]} == {"k1", "k2"}
    recent = ("search", "tea", "--half-life", "3600", "--explain", "-o", "json")
    assert document(call(*recent))["hits"][0]["explanation"]["recency"] > 0.9
    assert call("search", "--like", "nosuch").exit_code == 1


def test_what_is_stored_does_not_steer_the_terminal(call: Run) -> None:
    call("put", "red \033[31m alert\a", "--key", "esc")
    for word in (("get", "esc"), ("list",), ("search", "alert")):
        shown = call(*word).stdout
        assert "\033" not in shown
        assert "\\x1b[31m alert\\x07" in shown


def test_a_namespace_is_shown_as_it_is_given(run: Run, target: str, namespace: str) -> None:
    space = ("--target", target, "-n", namespace)
    for labels in (("-n", "a/b"), ("-n", "a", "-n", "b")):
        assert run("put", "tea", *space, *labels).exit_code == 0
    shown = run("list", *space).stdout
    assert f"-n {namespace} -n a/b " in shown
    assert f"-n {namespace} -n a -n b " in shown
    missing = run("get", "nix", "--target", target, "-n", "a b", "-n", "c")
    assert missing.stderr == "memplane: no semantic memory \"nix\" in the namespace -n 'a b' -n c\n"
    assert "the root namespace" in run("get", "nix", "--target", target).stderr


def test_keys_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from memplane_gateway.cli import output

    key = "01a1fee1-b34c-4c2e-9d1a-2f6d2f7c8e11"
    columns = ("NAMESPACE", "KEY", "TEXT", "ATTRIBUTES", "UPDATED")
    row = ("-n support-bot", key, "Prefers tea in the morning", {"topic": "food"})
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.print_table(columns, [(*row, "2026-11-21 16:24:43Z")], shorten=True)
    shown = capsys.readouterr().out
    assert key in shown
    assert "2026-11-21" in shown
    assert max(map(len, re.sub(r"\033\[\d*m", "", shown).splitlines())) <= 80
    output.print_table(("PERSISTENT", "AN OK SURVIVES"), [("yes", "a loss of power (disk)")])
    assert "PERSISTENT" in capsys.readouterr().out
    long = "k" * 150
    output.print_table(("KEY",), [(long,)], shorten=True)
    assert "".join(capsys.readouterr().out.split()).count("k") == 150


def test_errors_are_json_where_results_are(call: Run) -> None:
    missing = call("get", "nix", "-o", "json")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert json.loads(missing.stderr)["error"]["code"] == "NOT_FOUND"
    for wrong in (("put",), ("search", "x", "--limit", "0"), ("get", "k", "--nosuch")):
        result = call(*wrong, "-o", "json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert json.loads(result.stderr)["error"]["code"] == "INVALID_ARGUMENT"


def test_a_port_beyond_the_highest_is_not_dialled(run: Run) -> None:
    result = run("count", "--target", "localhost:99999", "-o", "json")
    assert result.exit_code == 2
    assert "up to 65535" in json.loads(result.stderr)["error"]["message"]


def test_delete(call: Run) -> None:
    call("put", "a", "--key", "a")
    tried = document(call("delete", "a", "b", "--dry-run", "-o", "json"))
    assert tried["dry_run"] is True
    assert [each["outcome"] for each in tried["results"]] == ["would be deleted", "missing"]
    assert call("count").stdout == "1\n"
    done = document(call("delete", "a", "b", "-o", "json"))
    assert [each["outcome"] for each in done["results"]] == ["deleted", "missing"]
    gone = call("get", "a")
    assert (gone.exit_code, gone.stdout) == (1, "")


def test_status(run: Run, target: str) -> None:
    shown = run("status", "--target", target)
    assert shown.exit_code == 0
    assert [line.split()[:5] for line in shown.stdout.splitlines()[1:]] == [
        [kind, "embedded", "serving", "yes", "a"] for kind in ("semantic", "episodic", "procedural")
    ]
    status = document(run("status", "--target", target, "-o", "json"))
    assert status["serving"] is True
    assert [route["persistent"] for route in status["routes"]] == [True] * 3
    assert status["control"]["store"] == "embedded"
    assert status["control"]["shared"] is False
    assert "the next sweep begins " in shown.stderr
    sweeper = status["sweeper"]
    assert (sweeper["on"], sweeper["interval_seconds"], sweeper["current"]) == (True, 300, None)
    healthy = run("status", "--healthy", "--target", target)
    assert (healthy.exit_code, healthy.output) == (0, "")


def test_status_says_what_decides_the_durability(
    run: Run, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a store says it that has a choice."""
    with Client(target) as client:
        found = client.status()
    route = dataclasses.replace(
        found[Kind.PROCEDURAL], durability_why="appendfsync everysec", replicas=2
    )
    assert found.control is not None
    down = dataclasses.replace(found.control, state=RouteState.NOT_SERVING)
    said = dataclasses.replace(found, routes={Kind.PROCEDURAL: route}, control=down)
    monkeypatch.setattr(Client, "status", lambda _: said)
    shown = run("status", "--target", target)
    assert "a loss of power (disk): appendfsync everysec" in " ".join(shown.stdout.split())
    assert "REPLICAS" in shown.stdout
    assert "the control store embedded does not answer" in shown.stderr
    (shown_route,) = document(run("status", "--target", target, "-o", "json"))["routes"]
    assert (shown_route["durability_why"], shown_route["replicas"]) == ("appendfsync everysec", 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("put",),
        ("put", ""),
        ("put", "x", "--attr", "novalue"),
        ("put", "x", "--attr", "a=1", "--attr", "a=2"),
        ("put", "x", "--value", "{"),
        ("put", "x", "--ttl", "soon"),
        ("put", "x", "--if-absent", "--if-match", "e"),
        ("put", "x", "--session", "s"),
        ("put", "x", "--kind", "sematic"),
        ("search", "x", "--filter", "[]"),
        ("search", "x", "--filter", '{"a": {"$foo": 1}}'),
        ("search", "x", "--limit", "0"),
        ("search", ""),
        ("get", ""),
        ("nosuchword",),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, target: str, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, *(("--target", target) if arguments != ("nosuchword",) else ()))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


def test_no_gateway_ends_with_69(run: Run) -> None:
    for word in (("get", "k"), ("status",), ("status", "--healthy"), ("count",)):
        result = run(*word, "--target", "localhost:1", "--timeout", "2")
        assert (result.exit_code, result.stdout) == (69, "")
        assert "start one: memplane serve" in result.stderr
    result = run("get", "k", "--target", "localhost:1", "--timeout", "2", "-o", "json")
    assert json.loads(result.stderr)["error"]["code"] == "UNAVAILABLE"


def test_no_time_ends_with_74(run: Run, target: str) -> None:
    assert run("get", "k", "--target", target, "--timeout", "0.001").exit_code == 74


def test_the_target_may_come_from_the_environment(target: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "memplane_gateway.cli", "count"],
        env=os.environ | {"MEMPLANE_TARGET": target},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().isdigit()


def test_a_reader_that_goes_away_is_no_crash(call: Run, target: str, namespace: str) -> None:
    for number in range(20):
        call("put", "x" * 10_000, "--key", f"k{number}")
    words = [sys.executable, "-m", "memplane_gateway.cli", "list", "-o", "json"]
    with subprocess.Popen(
        [*words, "--target", target, "-n", namespace],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        process.wait(20)


def test_status_tells_of_sweeps(run: Run, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(target) as client:
        found = client.status()
    failure = SweepFailure(Kind.SEMANTIC, Unavailable("the store is down"))
    rule = SweepRule(Kind.EPISODIC, SweepCause.MAX_ITEMS, ("chat", "*"))
    last = SweepRun(found.start_time, found.start_time, {rule: 7}, (failure,))
    assert found.sweeper is not None
    sweeper = dataclasses.replace(found.sweeper, last=last)
    routes = {
        Kind.SEMANTIC: dataclasses.replace(found[Kind.SEMANTIC], renewals=RenewalStatus(1, 2, 3))
    }
    said = dataclasses.replace(found, sweeper=sweeper, routes=routes)
    monkeypatch.setattr(Client, "status", lambda _: said)
    shown = run("status", "--target", target)
    assert "deleted 7 episodic by max items in -n chat -n '*'" in shown.stderr
    assert "the last sweep left semantic out: the store is down" in shown.stderr
    assert "semantic: 2 renewals of a ttl failed" in shown.stderr
    status = document(run("status", "--target", target, "-o", "json"))
    assert status["sweeper"]["last"]["rules"] == [
        {"kind": "episodic", "cause": "max_items", "namespace": ["chat", "*"], "count": 7}
    ]
    assert status["sweeper"]["last"]["failures"][0]["error"]["code"] == "UNAVAILABLE"
    off = dataclasses.replace(sweeper, on=False)
    said = dataclasses.replace(said, sweeper=off)
    assert "the sweeper is off" in run("status", "--target", target).stderr
