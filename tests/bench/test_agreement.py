"""Answers that agree are told from answers that do not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench import cases, locomo, measure, process, stores
from bench.agreement import SHOWN, Agreement, Reply, Row, compare
from bench.conversations import Conversation, Question

from memplane import AsyncClient, Put
from memplane_gateway.cli.formats.locomo import Turn

EXPECTED = [("a", 0.9), ("b", 0.8), ("c", 0.7), ("d", 0.6), ("e", 0.5)]


def reply(
    rows: Iterable[tuple[str, float]], *, approximate: bool = False, truncated: bool = False
) -> Reply:
    made = tuple(Row(name, relevance, 2 * relevance - 1) for name, relevance in rows)
    return Reply(made, approximate, truncated)


def by_time(names: str) -> Reply:
    return Reply(tuple(Row(name) for name in names))


def test_the_same_is_the_same() -> None:
    one = compare(reply(EXPECTED), reply(EXPECTED[:3]), 3)
    assert (one.swaps, one.overlap, one.deviation, one.problems) == (0, 1.0, 0.0, ())
    assert compare(by_time("abc"), by_time("abc"), 0).problems == ()
    assert compare(reply([]), reply([]), 3).overlap == 1.0


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (reply([("b", 0.8), ("a", 0.9), ("c", 0.7)]), "at 1 b"),
        (reply([("a", 0.9), ("x", 0.8), ("c", 0.7)]), "at 2 x"),
        (reply([("a", 0.9), ("b", 0.8)]), "has 2 rows instead of 3"),
        (reply(EXPECTED[:4]), "has 4 rows instead of 3"),
        (reply([("a", 0.9), ("b", 0.8), ("d", 0.6)]), "at 3 d"),
        (reply([("a", 0.9), ("a", 0.9), ("c", 0.7)]), "twice"),
        (reply(EXPECTED[:3], truncated=True), "left hits out"),
        (reply([]), "has 0 rows instead of 3"),
    ],
)
def test_an_exact_store_owes_the_same_hits_in_the_same_order(found: Reply, problem: str) -> None:
    assert problem in " ".join(compare(reply(EXPECTED), found, 3).problems)


def test_neighbours_that_tie_may_change_places() -> None:
    expected = reply([("a", 0.9), ("b", 0.8), ("c", 0.7999990), ("d", 0.6)])
    swapped = compare(expected, reply([("a", 0.9), ("c", 0.8), ("b", 0.7999991), ("d", 0.6)]), 4)
    assert swapped.problems == ()
    assert swapped.swaps == 2
    border = compare(expected, reply([("a", 0.9), ("c", 0.7999990)]), 2)
    assert (border.problems, border.swaps, border.overlap) == ((), 1, 1.0)
    # A row that is not known to tie does not, whatever relevance it comes with.
    assert compare(expected, reply([("a", 0.9), ("d", 0.8)]), 2).problems
    assert compare(expected, reply([("a", 0.9), ("x", 0.8)]), 2).problems


def test_what_is_ordered_by_time_never_ties() -> None:
    assert compare(by_time("abc"), by_time("acb"), 0).problems
    assert compare(by_time("abc"), by_time("ab"), 0).problems


def test_overlap_and_scores() -> None:
    found = reply([("b", 0.8), ("a", 0.9), ("x", 0.1), ("d", 0.6)], approximate=True)
    assert compare(reply(EXPECTED), found, 4).overlap == 0.75
    off = reply([("a", 0.9), ("b", 0.803), ("c", 0.7)])
    assert compare(reply(EXPECTED), off, 3).deviation == pytest.approx(0.006)
    assert compare(reply(EXPECTED), Reply((Row("a", 0.9, None),)), 1).deviation == float("inf")


def judged(*found: Reply) -> Agreement:
    made = Agreement("case", 3)
    for number, one in enumerate(found):
        made.add(f"question {number}", reply(EXPECTED), one)
    return made


def test_what_holds() -> None:
    same, swapped = reply(EXPECTED[:3]), reply([EXPECTED[1], EXPECTED[0], EXPECTED[2]])
    assert judged(same).holds
    assert not judged(same, swapped).holds
    assert judged(same, swapped).figures()["different"] == 1
    assert not judged().holds, "nothing was asked"
    assert len(judged(*[swapped] * 20).examples) == SHOWN
    # An approximate store owes hits, not their order.
    assert judged(Reply(swapped.rows, approximate=True)).holds
    missing = reply([("a", 0.9), ("b", 0.8), ("x", 0.1)], approximate=True)
    assert not judged(missing).holds
    few = [reply(EXPECTED[:3], approximate=True)] * 99
    assert judged(missing, *few).holds
    # Both owe the score.
    assert not judged(reply([("a", 0.9), ("b", 0.801), ("c", 0.7)])).holds
    assert not judged(reply([("a", 0.9), ("b", 0.801), ("c", 0.7)], approximate=True)).holds


def test_a_store_that_disagrees_is_named() -> None:
    good, bad = {"holds": True}, {"holds": False}
    figures = {
        "embedded": {},
        "one": {"agreement": [good, good]},
        "two": {"agreement": [good, bad]},
    }
    assert locomo.disagreeing(figures) == ["two"]


SAYINGS = [
    "I adopted a greyhound called Biscuit",
    "What a lovely dog",
    "My pottery class begins on Monday",
    "The kiln is broken again",
    "What a lovely dog",
]


def conversation() -> Conversation:
    start = datetime(2023, 5, 1, tzinfo=UTC)
    return Conversation(
        name="made up",
        turns=tuple(
            Turn(f"D1:{number}", f"session_{number % 2}", "Ann", text, start + timedelta(number))
            for number, text in enumerate(SAYINGS)
        ),
        observations=(),
        questions=(
            Question("Who has a dog?", 1, frozenset({"D1:1"})),
            Question("What is broken?", 1, frozenset({"D1:3"})),
        ),
        speakers={"Ann": {"sessions": 2, "turns": 5}},
        asked=2,
        odd=(),
    )


def test_what_one_store_lacks_is_found(tmp_path: Path) -> None:
    """Two real gateways; one misses a turn that the other has."""
    said = conversation()
    chosen = cases.cases([said])

    async def ask(address: str, puts: list[Put]) -> list[list[Reply]]:
        async with AsyncClient(address) as client:
            (await client.put_many(puts)).raise_for_error()
            return await cases.ask_all(client, chosen)

    replies = []
    for name in ("full", "again", "short"):
        directory = tmp_path / name
        directory.mkdir()
        puts = locomo.puts_of(said)
        if name == "short":
            puts.remove(next(put for put in puts if put.ref.key == "D1:3"))
        with (
            stores.place("embedded", directory) as where,
            process.gateway(
                directory, locomo.settings_of(where, locomo.EMBEDDERS["hash"])
            ) as gateway,
        ):
            replies.append(measure.run(ask(gateway.address, puts)))
    full, again, short = replies
    same = cases.agree(chosen, full, again)
    assert all(one.holds for one in same), [one.figures() for one in same]
    verdicts = {one.case: one.holds for one in cases.agree(chosen, full, short)}
    assert not verdicts["one conversation"]
    assert not verdicts["no namespace"]
    assert not verdicts["@session_id"]
    assert not verdicts["RECENT"]
    assert not verdicts["list"]


def test_places(tmp_path: Path) -> None:
    assert stores.known()[0] == "embedded"
    with stores.place("embedded", tmp_path) as where:
        assert where.settings["adapter"] == "embedded"
        assert str(where.keys["path"]).startswith(str(tmp_path))
    with pytest.raises(process.BenchError, match="no adapter"), stores.place("nobody", tmp_path):
        pytest.fail("there is no such store")
    there, absent = stores.at_hand(["embedded", "nobody"])
    assert there == ["embedded"]
    assert "nobody" in absent[0]
