"""What a mapping makes of a foreign row, and what it may say."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping as AnyMapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import (
    FOREIGN_PAGE_ROWS,
    ForeignFacts,
    ForeignPage,
    ForeignRow,
    Kind,
    from_micros,
    to_micros,
)
from memplane_gateway.adopting import (
    Adoption,
    Mapped,
    Mapping,
    Reading,
    RowProblem,
    Source,
    check,
    map_row,
    read_adoption,
)
from memplane_gateway.cli.adoptions import Report
from memplane_gateway.config import ConfigError
from memplane_gateway.limits import KEY_BYTES, TEXT_BYTES
from memplane_gateway.memory.model import ABSENT

_NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)
_PAYLOADS = st.dictionaries(st.sampled_from(["t", "u", "at", "w", "m", "@x", "a.b"]), _DATA)
_MAPPINGS = st.sampled_from(
    [
        {"text": "t"},
        {"text": "@document", "namespace": ["bot", {"field": "u"}], "importance": "w"},
        {"text": {"field": "t", "json": "x"}, "attributes": ["u", ["a.b"], "m.x"]},
        {"text": "m.t", "attributes": {"all_but": ["u"], "under": "m"}, "value": "m"},
        {"text": "t", "kind": "episodic", "time": "at", "session_id": "u", "input": "m"},
        {
            "text": "t",
            "kind": "episodic",
            "time": {"field": "at", "format": "unix_seconds"},
            "key": "u",
        },
    ]
)
_ROWS = st.builds(
    ForeignRow, st.text(max_size=5), st.none() | st.text(max_size=5), _PAYLOADS, st.none()
)


@given(_ROWS, _MAPPINGS)
def test_a_row_is_a_memory_that_a_gateway_takes_or_a_problem(
    row: ForeignRow, settings: AnyMapping[str, Any]
) -> None:
    mapping = Mapping.model_validate(settings)
    before = repr(row)
    mapped = map_row(row, mapping)
    assert repr(row) == before
    if isinstance(mapped, RowProblem):
        assert (mapped.row, bool(mapped.reason)) == (row.id, True)
        return
    problem = check(mapped, Kind(mapping.kind))
    assert mapped.text.strip()
    assert len(mapped.namespace) == len(mapping.namespace)
    if problem is None:
        assert mapped.key
        assert not any(name.startswith("@") for name in mapped.attributes)
        # Nothing is lost or turned into another number on its way.
        for name, value in mapped.attributes.items():
            assert _finds(row.payload, name, value)


def _finds(payload: Any, name: str, value: Any) -> bool:
    if not isinstance(payload, dict):
        return False
    here = name in payload and json.dumps(payload[name]) == json.dumps(value)
    return here or any(_finds(inner, name, value) for inner in payload.values())


@given(st.datetimes(), st.sampled_from(["rfc3339", "unix_seconds", "unix_millis"]))
def test_times_are_instants(moment: Any, form: str) -> None:
    micros = to_micros(moment.replace(tzinfo=from_micros(0).tzinfo))
    unit = {"unix_seconds": 1_000_000, "unix_millis": 1_000}.get(form, 0)
    if unit:
        micros = micros // unit * unit
    said = micros // unit if unit else moment.isoformat()
    settings = {"kind": "episodic", "time": {"field": "at", "format": form}}
    mapped = map_row(ForeignRow("1", "x", {"at": said}), Mapping.model_validate(settings))
    assert isinstance(mapped, Mapped), mapped
    assert mapped.episode is not None
    assert mapped.episode.event_time == micros


@pytest.mark.parametrize(
    ("settings", "row", "expected"),
    [
        ({}, ForeignRow("1", None), "text: @document is missing"),
        ({}, ForeignRow("1", " "), "text: @document is empty"),
        (
            {"text": "a.b"},
            ForeignRow("1", "x", {"a": {"b": 3}}),
            "text: a.b is a number, no string",
        ),
        ({"namespace": [{"field": "u"}]}, ForeignRow("1", "x"), "namespace[0]: u is missing"),
        (
            {"namespace": [{"field": "u"}]},
            ForeignRow("1", "x", {"u": 1.0}),
            "namespace[0]: u is a number with a fraction, no string and no whole number",
        ),
        ({"key": "k"}, ForeignRow("1", "x", {"k": True}), "key: k is a truth value, no string"),
        ({}, ForeignRow("1", "x", {"n": math.nan}), "attributes.n: is NaN or infinite"),
        ({}, ForeignRow("1", "x", {"n": 2**63}), "attributes.n: is a whole number beyond 64 bits"),
        ({}, ForeignRow("1", "x", {"@n": 1}), "attributes['@n']: names that start with @"),
        ({}, ForeignRow("1", "x", {"n": "\0"}), "attributes['n']: holds a NUL"),
        ({}, ForeignRow("1", "\ud800"), "a string is no Unicode text"),
        ({}, ForeignRow("1", "x" * (TEXT_BYTES + 1)), f"text: {TEXT_BYTES + 1} bytes, but"),
        ({}, ForeignRow("k" * (KEY_BYTES + 1), "x"), f"key: {KEY_BYTES + 1} bytes, but"),
        ({"importance": "w"}, ForeignRow("1", "x", {"w": 7}), "importance: w is not between"),
        (
            {"kind": "episodic", "time": "at"},
            ForeignRow("1", "x", {"at": 1700000000}),
            "time: at is no instant as rfc3339 (there are: rfc3339, unix_seconds, unix_millis)",
        ),
        (
            {"text": {"field": "n", "json": "text"}},
            ForeignRow("1", None, {"n": "{"}),
            "text: n (JSON).text holds no JSON",
        ),
        (
            {"vector": "keep", "embedding_identity_is": "same"},
            ForeignRow("1", "x", {}, np.zeros(3, np.float32)),
            "vector: is zero",
        ),
        (
            {"vector": "keep", "embedding_identity_is": "same"},
            ForeignRow("1", "x", {}, np.array([3, 4], np.float32)),
            "vector: its length is not 1, so that euclid and cosine rank apart",
        ),
    ],
)
def test_what_does_not_map_says_why(
    settings: AnyMapping[str, Any], row: ForeignRow, expected: str
) -> None:
    mapping = Mapping.model_validate(settings)
    mapped = map_row(row, mapping, "euclid")
    problem = check(mapped, Kind.SEMANTIC) if isinstance(mapped, Mapped) else mapped
    assert problem is not None
    assert str(problem).startswith(expected)


def test_everything_in_the_payload_but_the_text() -> None:
    row = ForeignRow("1", None, {"body": "x", "n": 1, "at": None, "deep": {"a": [1, "2"]}})
    mapped = map_row(row, Mapping.model_validate({"text": "body"}))
    assert isinstance(mapped, Mapped)
    assert mapped.attributes == {"n": 1, "at": None, "deep": {"a": [1, "2"]}}
    assert (mapped.key, mapped.value, mapped.episode) == ("1", ABSENT, None)


def test_llamaindex_keeps_its_text_in_a_string_of_json() -> None:
    node = json.dumps({"id_": "n-1", "text": "Prefers tea", "metadata": {"file": "a.md"}})
    row = ForeignRow("7", None, {"_node_content": node, "_node_type": "TextNode", "page": 3})
    settings = {
        "text": {"field": "_node_content", "json": "text"},
        "key": {"field": "_node_content", "json": "id_"},
        "attributes": ["page", {"name": "f", "field": "_node_content", "json": "metadata.file"}],
    }
    mapped = map_row(row, Mapping.model_validate(settings))
    assert isinstance(mapped, Mapped)
    assert (mapped.key, mapped.text) == ("n-1", "Prefers tea")
    assert mapped.attributes == {"page": 3, "f": "a.md"}


_SOURCE = {"adapter": "qdrant", "collection": "c", "path": "q"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"source": {**_SOURCE, "adapter": "qdrnt"}}, 'did you mean "qdrant"'),
        ({"source": {"adapter": "redis", "collection": "c"}}, "those that do: chroma, qdrant"),
        ({"source": {**_SOURCE, "colection": "c"}}, "source.colection: unknown setting of"),
        ({"source": {**_SOURCE, "colection": "c"}}, '(did you mean "collection"?)'),
        ({"source": {"adapter": "qdrant"}}, "source.collection: is required"),
        ({"source": {**_SOURCE, "timeout": "x"}}, "source.timeout: should be a whole number"),
        ({"source": {**_SOURCE, "api_key": "env:NOT_SET_AT_ALL"}}, "NOT_SET_AT_ALL is not set"),
        ({"source": ["c"]}, "source: should be a section"),
        ({"namespce": ["a"]}, ':5: namespce: unknown setting (did you mean "namespace"?)'),
        ({"namespace": ["a", 3]}, "namespace.1: should be a label"),
        ({"text": {"feild": "a"}}, 'text: unknown setting "feild" (did you mean "field"?)'),
        ({"text": "@body"}, "text: @body is nothing that a row has; there are: @id, @document"),
        ({"text": "a..b"}, "text: a name in a path is empty"),
        ({"attributes": ["a.n", "b.n"]}, 'attributes: two are named "n"'),
        ({"attributes": {"but": []}}, 'attributes: unknown setting "but"'),
        ({"kind": "procedural"}, "kind: is semantic or episodic"),
        ({"kind": "episodic"}, "time: is required for episodic memories"),
        ({"time": "at"}, "time: only episodic memories have it"),
        ({"time": {"field": "at", "format": "unix"}}, "time: format: no unix"),
        ({"vector": "keep"}, "embedding_identity_is: is required to keep vectors"),
        ({"embedding_identity_is": "same"}, "embedding_identity_is: is for vector: keep"),
    ],
)
def test_a_wrong_mapping_says_where_and_what(
    settings: AnyMapping[str, Any], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(yaml.safe_dump({"source": _SOURCE, **settings}, sort_keys=False, indent=4))
    with pytest.raises(ConfigError) as wrong:
        read_adoption(file, environ={})
    assert expected in str(wrong.value)
    assert all(str(problem).startswith(str(file)) for problem in wrong.value.problems)


def test_secrets_are_resolved_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(yaml.safe_dump({"source": {**_SOURCE, "api_key": "env:KEY_OF_OURS"}}))
    adoption = read_adoption(file, environ={"KEY_OF_OURS": "hush-hush"})
    assert adoption.source.settings.api_key == "hush-hush"
    assert "hush-hush" not in repr(adoption)
    assert adoption.source.directory == tmp_path


class Listed:
    """A collection of a vendor who keeps rows in a list, and pages by place."""

    def __init__(self, rows: list[ForeignRow]) -> None:
        self.rows = rows

    async def open(self) -> None:
        """It is ready."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def facts(self) -> ForeignFacts:
        return ForeignFacts(len(self.rows))

    async def page(self, after: str = "", *, vectors: bool = False) -> ForeignPage:
        assert not vectors, "the mapping keeps none"
        start = int(after or 0)
        end = start + FOREIGN_PAGE_ROWS
        return ForeignPage(self.rows[start:end], str(end) if end < len(self.rows) else "")


async def _read(collection: Listed, settings: AnyMapping[str, Any], delete: bool = False) -> Report:
    mapping = Mapping.model_validate(settings)
    source = Source("listed", "c", "", None, Path())
    reading = Reading(Adoption(source, mapping), collection, before := await collection.facts())
    async for _ in reading.memories():
        if delete:
            collection.rows.pop(0)
            delete = False
    return Report(before, reading, facts_after=await collection.facts())


async def test_a_row_that_is_hidden_by_a_delete_is_noticed() -> None:
    rows = [ForeignRow(str(row), "x") for row in range(FOREIGN_PAGE_ROWS + 2)]
    calm = await _read(Listed(list(rows)), {})
    assert (calm.reading.read, calm.reading.refused, calm.changed) == (len(rows), 0, False)
    disturbed = await _read(Listed(list(rows)), {}, delete=True)
    assert disturbed.changed


async def test_a_field_named_like_the_id_may_stand_there_twice() -> None:
    rows = [ForeignRow(row, "x", {"@id": "same"}) for row in ("1", "2")]
    reading = (await _read(Listed(rows), {"key": ["@id"], "attributes": []})).reading
    assert [problem.row for problem in reading.problems] == ["2"]


async def test_what_is_noted_of_problems_is_bounded() -> None:
    rows = [ForeignRow(str(row), "x", {"@" + str(row): 1}) for row in range(1_500)]
    reading = (await _read(Listed(rows), {})).reading
    assert (reading.refused, len(reading.problems)) == (1_500, 1_000)
    assert len(reading.reasons) <= 101
    assert reading.reasons.total() == 1_500
