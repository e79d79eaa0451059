"""The benchmarks run and count right, on data made here. No figure of time is looked at."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bench import echo, embedding, kv, locomo, measure, process, report, startup, stores
from bench.conversations import dia_ids, read_directory
from bench.direct_values import DIRECT_VALUES

TURNS = {
    "session_1": ["I adopted a greyhound called Biscuit", "What a lovely dog", "He is very fast"],
    "session_2": ["My pottery class begins on Monday", "Bring me a teapot", "The kiln is broken"],
}
OBSERVATIONS = [["Ann has a dog", "D1:1"], ["Ann makes pots", ["D2:1", "D2:3"]]]
QUESTIONS: list[dict[str, Any]] = [
    {"question": "Who is Biscuit?", "answer": "a dog", "evidence": ["D1:1"], "category": 4},
    {"question": "When is pottery?", "answer": "x", "evidence": ["D2:1; D2:3"], "category": 2},
    {"question": "What broke?", "answer": "x", "evidence": ["D:2:3", "D9:9", "D"], "category": 1},
    {"question": "Who knows?", "answer": "x", "evidence": [], "category": 3},
    {"question": "Whose teapot?", "answer": "x", "evidence": ["D1:3"], "category": 5},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    conversation: dict[str, Any] = {"speaker_a": "Ann", "speaker_b": "Bob", "qa": QUESTIONS}
    for number, (session, texts) in enumerate(TURNS.items(), 1):
        conversation[f"{session}_date_time"] = f"{number}:56 pm on {number} May, 2023"
        conversation[session] = [
            {
                "speaker": "AnnBob"[3 * (turn % 2) :][:3],
                "dia_id": f"D{number}:{turn + 1}",
                "text": t,
            }
            for turn, t in enumerate(texts)
        ]
    conversation["session_1_observation"] = {"Ann": OBSERVATIONS}
    directory = tmp_path / "conversations"
    directory.mkdir()
    (directory / "conversation-1.json").write_text(json.dumps(conversation), encoding="utf-8")
    return directory


def test_a_conversation_is_read(data: Path) -> None:
    (conversation,) = read_directory(data)
    assert [turn.dia_id for turn in conversation.turns] == [
        "D1:1", "D1:2", "D1:3", "D2:1", "D2:2", "D2:3",
    ]  # fmt: skip
    assert conversation.turns[1].time == datetime(2023, 5, 1, 13, 56, 1, tzinfo=UTC)
    assert conversation.speakers == {
        "Ann": {"sessions": 2, "turns": 4},
        "Bob": {"sessions": 2, "turns": 2},
    }
    assert [seen.evidence for seen in conversation.observations] == [("D1:1",), ("D2:1", "D2:3")]
    assert [sorted(question.evidence) for question in conversation.questions] == [
        ["D1:1"],
        ["D2:1", "D2:3"],
        ["D2:3"],
        ["D1:3"],
    ]
    assert conversation.asked == 5
    assert conversation.odd == ("D2:1; D2:3", "D:2:3", "D9:9", "D")


@pytest.mark.parametrize(
    ("evidence", "ids"),
    [
        ("D8:6", ["D8:6"]),
        (["D8:6; D9:17", "D1:2"], ["D8:6", "D9:17", "D1:2"]),
        (["D:11:26"], ["D11:26"]),
        (["D30:05"], ["D30:5"]),
        (["D", "", "8:6", "XD8:6"], []),
        ([], []),
    ],
)
def test_evidence(evidence: object, ids: list[str]) -> None:
    assert list(dia_ids(evidence)) == ids


def test_a_file_that_is_no_conversation_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \*\.json"):
        read_directory(tmp_path)
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.json is no conversation"):
        read_directory(tmp_path)


def test_recall(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    locomo.main(["--data", str(data), "--quick", "--json", str(file)])
    figures = json.loads(file.read_text(encoding="utf-8"))["locomo"]
    assert figures["data"]["questions_with_evidence"] == 4
    embedded = figures["stores"]["embedded"]
    assert embedded["ingest"]["items"] == 6 + 2 + 2
    keyword = embedded["modes"]["auto"]
    assert keyword["used"] == "keyword"
    rows = keyword["recall"]
    assert rows["single-hop"]["hit"]["5"] == 1.0
    assert rows["temporal"]["hit"]["5"] == 1.0
    assert rows["temporal"]["evidence"]["5"] == 0.5, "one of two turns has a word of the question"
    assert rows["adversarial"]["hit"]["20"] == 0.0, "no word in common"
    assert rows["all"]["questions"] == 4
    assert set(embedded["modes"]) == {"auto", "keyword", "vector", "hybrid"}
    printed = capsys.readouterr().out
    assert "recall@k" in printed
    assert "\x1b" not in printed, "plain where there is no terminal"


def test_embedding() -> None:
    effort = embedding.Effort(callers=(2,), calls=2, hits=4, repeats=1)
    rows = embedding.run(effort)["rows"]
    assert [row["what"] for row in rows] == [
        "all at once, each call alone",
        "all at once, batches",
        "one at a time, each call alone",
        "one at a time, batches",
        "the cache",
    ]
    assert all(row["per_second"] > 0 for row in rows)


def test_echo(capsys: pytest.CaptureFixture[str]) -> None:
    figures = echo.run(echo.Effort(memories=60, repeats=1, calls=((1, 4), (2, 6))), pin=False)
    operations = {row["operation"] for row in figures["rows"]}
    assert len(figures["rows"]) == 2 * len(operations)
    assert {"get, PROCEDURAL", "search, KEYWORD", "search, VECTOR"} <= operations
    assert "not pinned" in capsys.readouterr().out


@pytest.mark.parametrize("store", ["redis", "postgres", "embedded"])
def test_key_values(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, absent = stores.at_hand([store], "key_values")
    if absent:
        assert not os.environ.get("CI"), absent[0]
        pytest.skip(absent[0])
    loads = (kv.Load(1, 1, 3), kv.Load(1, 4, 6), kv.Load(5, 2, 3))
    figures = kv.run([store], kv.Effort(repeats=1, users=4, loads=loads), pin=False)
    measured = figures["stores"][store]
    rows = {(row["operation"], row["items"], row["concurrency"]): row for row in measured["rows"]}
    assert set(rows) == {
        (name, load.items, load.concurrency) for name in ("get", "put") for load in loads
    }
    libraries = {"redis": "redis-py", "postgres": "psycopg", "embedded": None}
    assert measured["beside"] == libraries[store]
    assert all(("p50_ratio" in row) is (store != "embedded") for row in rows.values())
    if not os.environ.get(f"{store.upper()}_URL"):
        assert measured["durability"] == "DISK", "our own servers keep what they acknowledge"
    assert measured["how"] in capsys.readouterr().out


@pytest.mark.parametrize("store", ["redis", "postgres"])
async def test_the_libraries_read_what_they_write_and_leave_nothing(
    store: str, tmp_path: Path
) -> None:
    _, absent = stores.at_hand([store], "key_values")
    if absent:
        assert not os.environ.get("CI"), absent[0]
        pytest.skip(absent[0])
    values = {f"key-{number}": {"number": number, "text": "é"} for number in range(20)}
    with stores.place(store, tmp_path, "key_values") as where:
        first = DIRECT_VALUES[store](where)
        await first.open()
        try:
            await first.put(values)
            await first.put({"key-3": {"number": 33}})
            assert await first.get(["key-3"]) == [{"number": 33}]
            assert await first.get(["key-7", "key-3"]) == [values["key-7"], {"number": 33}]
        finally:
            await first.close()
        again = DIRECT_VALUES[store](where)
        await again.open()
        try:
            with pytest.raises((TypeError, KeyError)):
                await again.get(["key-3", "key-7"])
        finally:
            await again.close()


def test_only_stores_that_keep_it_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert stores.chosen("embedded,chroma", "key_values") == ["embedded"]
    assert "chroma: it keeps no key-values" in capsys.readouterr().out
    assert stores.chosen("redis,embedded") == ["embedded"]
    assert "redis: it keeps no vectors" in capsys.readouterr().out


def test_start() -> None:
    assert set(startup.start_empty(process.MEMPLANE)) == {
        "ready_seconds",
        "first_answer_ms",
        "memory_mib",
    }


def test_a_gateway_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(process.BenchError, match="routs"):
        process.gateway(tmp_path, {"routs": {}})


def test_percentile() -> None:
    values = [float(number) for number in range(1, 101)]
    assert measure.percentile(values, 0.50) == 50
    assert measure.percentile(values, 0.99) == 99
    assert measure.percentile([7.0], 0.99) == 7


def test_what_the_system_does_not_tell_is_null(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    report.write_json(file, {"cpu": float("nan"), "rows": [{"ms": 1.5}]})
    read = json.loads(file.read_text(encoding="utf-8"))
    assert read["cpu"] is None
    assert read["rows"] == [{"ms": 1.5}]
    assert read["machine"]["cores"]


@pytest.mark.parametrize("store", ["chroma", "qdrant"])
def test_another_store_is_held_against_the_embedded_one(
    store: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, absent = stores.at_hand([store])
    if absent:
        assert not os.environ.get("CI"), absent[0]
        pytest.skip(absent[0])
    file = tmp_path / "figures.json"
    locomo.main(["--data", str(data), "--stores", store, "--quick", "--json", str(file)])
    figures = json.loads(file.read_text(encoding="utf-8"))["locomo"]["stores"]
    assert list(figures) == ["embedded", store]
    cases = {(one["case"], one["depth"]): one for one in figures[store]["agreement"]}
    assert cases["one conversation", 10]["asked"] == 4
    assert cases["list", 0]["asked"] == 6
    assert figures[store]["direct"]["items"] == 6 + 2
    assert figures[store]["direct"]["overlap"] == 1.0
    assert len(figures[store]["rates"]) == 4
    printed = capsys.readouterr().out
    assert "the reference" in printed
    assert figures[store]["how"] in printed
    assert "side by side, recall@10" in printed
    modes = {name for name, one in figures[store]["modes"].items() if "error" not in one}
    assert modes == {"auto", "vector"} | ({"keyword", "hybrid"} if store == "qdrant" else set())
    for mode in modes - {"auto"}:
        theirs = figures["embedded"]["modes"][mode]["recall"]["all"]["hit"]
        assert figures[store]["modes"][mode]["recall"]["all"]["hit"] == theirs


def test_recall_alone(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    locomo.main(["--data", str(data), "--recall-only", "--json", str(file)])
    embedded = json.loads(file.read_text(encoding="utf-8"))["locomo"]["stores"]["embedded"]
    assert "modes" in embedded
    assert not {"rates", "agreement"} & set(embedded)
    assert "at once" not in capsys.readouterr().out
