"""The table of docs/reliability.md: it covers what it must, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from memplane_adapters.conformance import memories, stores

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
ROWS = set(range(1, 61))
"""What happened to others. Each is held on every store, or it is said why that cannot be."""
EVERYWHERE = ("tests/faults/test_bad_days.py", "tests/adapters/test_every_adapter.py")
"""Beside the suite: whose cases run on every store with a server, or on every adapter."""

SUITE = {"stores": Path(stores.__path__[0]), "memories": Path(memories.__path__[0])}
BESIDE = ROOT / "tests" / "faults"
_NAME = re.compile(r"`([\w/]+\.py)::(\w+)`")
_NUMBERED = re.compile(r"field_(\d+)")


def tables() -> tuple[str, str]:
    """The rows of every store, and those that are not."""
    held, _, rest = PAGE.read_text("utf-8").partition("\n### Not of every store\n")
    return held, rest.partition("\n## ")[0]


def table() -> dict[int, list[tuple[str, str]]]:
    """The tests of each row, as file and name."""
    lines = re.findall(r"^\| (\d+) \|(.*)$", tables()[0], re.MULTILINE)
    assert len({number for number, _ in lines}) == len(lines), "a row stands there twice"
    return {int(number): _NAME.findall(rest) for number, rest in lines}


def cases(file: Path) -> set[str]:
    """The names of the tests in a file."""
    tree = ast.parse(file.read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def place(file: str) -> Path:
    """Where a file of the table is."""
    room, _, name = file.partition("/")
    return SUITE[room] / name if room in SUITE else ROOT / file


def test_every_row_is_there_once() -> None:
    exempt = re.findall(r"^\| (\d+) \|([^|]+)\|([^|]+)\|", tables()[1], re.MULTILINE)
    assert all(why.strip() for _, _, why in exempt)
    assert sorted([*table(), *(int(row) for row, *_ in exempt)]) == sorted(ROWS)


@pytest.mark.parametrize(("row", "tests"), table().items())
def test_the_tests_of_a_row_are_there(row: int, tests: list[tuple[str, str]]) -> None:
    assert tests, "a row without a test"
    for file, name in tests:
        assert name in cases(place(file)), f"{file} has no {name}"
    # One at least runs on every store.
    assert any(file.partition("/")[0] in SUITE or file in EVERYWHERE for file, _ in tests)
    numbers = {int(number) for _, name in tests for number in _NUMBERED.findall(name)}
    assert row in numbers, "no test carries the number of its row"


def test_numbered_cases_of_the_suite_stand_in_their_rows() -> None:
    named = {row: {name for _, name in tests} for row, tests in table().items()}
    for room in SUITE.values():
        for file in room.glob("test_*.py"):
            for name in cases(file):
                for row in map(int, _NUMBERED.findall(name)):
                    assert name in named[row], f"{name} is not in row {row}"


def test_every_test_that_the_page_names_is_there() -> None:
    for file, name in _NAME.findall(PAGE.read_text("utf-8")):
        assert name in cases(place(file)), f"{file} has no {name}"


def test_what_several_gateways_are_put_through_stands_there() -> None:
    section = PAGE.read_text("utf-8").partition("\n## Several gateways\n")[2]
    named: set[tuple[str, str]] = set()
    for row in re.findall(r"^\| (?!what happens|---)(.*)$", section, re.MULTILINE):
        tests = _NAME.findall(row)
        assert tests, f"a row without a test: {row}"
        named.update(tests)
    there = {
        (f"tests/faults/{file.name}", name)
        for file in BESIDE.glob("test_beside*.py")
        for name in cases(file)
        if name.startswith("test_")
    }
    assert named == there
