"""The configuration of stores that are collections of others: what is refused, shown and looked at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.foreign import Qdrant
from tests.gateway.legacy import write

from memplane_gateway.config import ConfigError, Probe, effective, load, probe


@pytest.mark.parametrize(
    ("mapping", "configured", "said"),
    [
        ({"txt": "x"}, {}, r"stores\.legacy\.adopt: .*mapping\.yaml:\d+: txt: unknown setting"),
        ({}, {"adopt": "no.yaml"}, r"memplane\.yaml:\d+: stores\.legacy\.adopt: .*no\.yaml"),
        ({}, {"refresh": 5}, r"stores\.legacy\.refresh: unknown setting .*refresh_seconds"),
        ({}, {"refresh_seconds": 0}, r"stores\.legacy\.refresh_seconds: should be at least 1"),
        ({}, {"max_rows": "many"}, r"stores\.legacy\.max_rows: should be a whole number"),
        ({}, {"embedder": "four"}, r"routes\.semantic\.embedder: takes no text"),
        ({}, {"route": {"refresh_ttl": True}}, r"routes\.semantic\.refresh_ttl: .*read-only"),
        ({}, {"route": {"require_durability": "disk"}}, r"semantic\.require_durability: .*read-"),
        ({}, {"route": {"on_backend_down": "spool"}}, r"semantic\.on_backend_down: .*read-only"),
        ({}, {"more": {"control": {"store": "legacy"}}}, r"control\.store: .*read-only"),
        (
            {},
            {"more": {"routes": {"episodic": {"store": "legacy"}}}},
            r"routes\.episodic\.store: the mapping of 'legacy' makes semantic memories",
        ),
        (
            {},
            {"more": {"routes": {"procedural": {"store": "legacy"}}}},
            r"routes\.procedural\.store: the mapping of 'legacy' makes semantic memories",
        ),
        (
            {},
            {"more": {"retention": [{"kind": "semantic", "max_items": 2}]}, "route": {}},
            r"retention: a policy is for semantic memories",
        ),
    ],
)
def test_what_is_wrong_is_told_by_the_setting(
    tmp_path: Path, mapping: dict[str, Any], configured: dict[str, Any], said: str
) -> None:
    source = {"adapter": "qdrant", "path": str(tmp_path), "collection": "c"}
    whole = {"source": source, "text": "x", **mapping}
    file = write(tmp_path, whole, **{"embedder": "hash", **configured})
    with pytest.raises(ConfigError) as caught:
        load(file, environ={})
    assert any(re.search(said, str(each)) for each in caught.value.problems), str(caught.value)


def test_secrets_of_a_mapping_are_not_shown(tmp_path: Path) -> None:
    source = {
        "adapter": "qdrant",
        "url": "http://127.0.0.1:9",
        "api_key": "env:LEGACY",
        "collection": "c",
    }
    file = write(tmp_path, {"source": source, "text": "x"}, embedder="hash", max_rows=5)
    settings = load(file, environ={"LEGACY": "canary-77"})
    shown = effective(settings)["stores"]["legacy"]
    assert shown == {"adopt": "mapping.yaml", "refresh_seconds": 300.0, "max_rows": 5}
    assert "canary-77" not in repr(settings)


def test_the_doctor_looks_at_the_collection(tmp_path: Path) -> None:
    qdrant = Qdrant(tmp_path / "qdrant")
    qdrant.fill("few", 12)

    def seen(collection: str, **store: Any) -> Probe:
        mapping = {"source": qdrant.source(collection), "text": "page_content"}
        file = write(tmp_path, mapping, embedder="hash", **store)
        return probe(load(file, environ={}), "legacy")

    assert seen("few").durability == "none (read-only)"
    assert seen("few", max_rows=5).error == "the collection has 12 rows, and max_rows is 5"
    assert 'no collection "fewer"' in seen("fewer").error
