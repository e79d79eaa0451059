"""The gateway beside libraries: all is measured, and a wrong answer is named. No figure of time is looked at."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from bench import made, measure, stores, vendors
from bench.direct import Direct, Fields, Found, Vector, direct_for
from bench.direct.embedded import SqliteTable
from bench.sides import ByLibrary
from tests.thorough import THOROUGH

SMALL = vendors.Effort(turns=1, rows=60, batch=5, reads=((1, 4), (2, 6)), puts=((1, 1), (2, 2)))
RARER = pytest.mark.skipif(not THOROUGH, reason="MEMPLANE_TEST_THOROUGH=1 runs it")
OPERATIONS = ["get", "search", "filtered search"]


def test_the_gateway_beside_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vendors, "QUICK", SMALL)
    file = tmp_path / "figures.json"
    vendors.main(["--stores", "embedded", "--quick", "--json", str(file)])
    embedded = json.loads(file.read_text(encoding="utf-8"))["vendors"]["stores"]["embedded"]
    assert [(row["operation"], row["concurrency"]) for row in embedded["rows"]] == [
        *((name, at_once) for at_once in (1, 2) for name in OPERATIONS),
        *(("put 5", at_once) for at_once in (1, 2)),
    ]
    assert (embedded["beside"], embedded["durability"]) == ("sqlite3 and numpy", "DISK")
    for row in embedded["rows"]:
        for answers in row["answers"]:
            assert answers["holds"]
            assert answers["different"] == 0
            assert answers["asked"] >= row["concurrency"]
    assert "same" in capsys.readouterr().out


class Nearly(SqliteTable):
    """Finds a row of another namespace, with a score of its own, and forgets a field."""

    async def search(
        self, vector: Vector, namespace: str, limit: int, where: Fields | None = None
    ) -> list[Found]:
        found = await super().search(vector, namespace, limit, where)
        return found if where else [*found[:-1], replace(found[-1], id="other", text="other")]

    async def get(self, id: str, namespace: str, /) -> Found | None:
        found = await super().get(id, namespace)
        return found and replace(found, fields={**found.fields, "topic": "other"})


async def measured(library: Direct, other: Direct) -> list[str]:
    example = made.rows_from(0, 1)[0]
    try:
        for one in (library, other):
            await one.open(example)
        rows = await vendors.measure_all(
            ByLibrary(library, approximate=False),
            ByLibrary(other, approximate=False),
            lambda: 0.0,
            SMALL,
        )
    finally:
        for one in (library, other):
            await one.close()
    return vendors.wrong({"stores": {"made up": {"rows": rows}}})


def test_a_side_that_answers_wrongly_is_named(tmp_path: Path) -> None:
    with stores.place("embedded", tmp_path) as where:
        good, bad = (replace(where, directory=where.directory / name) for name in ("good", "bad"))
        named = measure.run(measured(SqliteTable(good), Nearly(bad)))
    assert set(named) == {
        "made up, get, direct",
        "made up, search, direct",
        "made up, put 5, direct",
    }


# Chroma's and Qdrant's are held against the embedded store by bench/locomo.py.
@pytest.mark.parametrize(
    "store",
    ["pinecone", "postgres", pytest.param("weaviate", marks=RARER)],
)
def test_a_library_finds_what_is_owed_and_leaves_nothing(store: str, tmp_path: Path) -> None:
    _, absent = stores.at_hand([store])
    if absent:
        assert not os.environ.get("CI"), absent[0]
        pytest.skip(absent[0])
    with stores.place(store, tmp_path) as where:
        for _ in range(2):  # what the first made is gone
            library = direct_for(where)
            assert library is not None
            assert measure.run(measured(library, SqliteTable(where))) == []
            (tmp_path / "direct.db").unlink()
