"""A vendor from elsewhere needs a package and an entry point: nothing here knows of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.faults.process import Gateway, room
from tests.thorough import THOROUGH

from memplane import Client, ConditionalWrite, Kind, Mode, Unimplemented, attr

# Where a weak store makes a difference; the whole takes minutes.
FILES = (
    ("admin", "batches", "filter_truth", "preconditions", "races", "reach", "writes")
    if THOROUGH
    else ("filter_truth", "preconditions", "reach")
)
SUITE = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", "--pyargs")


def run(
    command: tuple[str, ...], environ: Mapping[str, str], where: Path
) -> subprocess.CompletedProcess[str]:
    """A command that must end well."""
    done = subprocess.run(
        command, env=dict(environ), cwd=where, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    return done


def test_one_variable_is_enough(outside: dict[str, str], tmp_path: Path) -> None:
    memplane = (sys.executable, "-m", "memplane_gateway.cli")
    environ = {**outside, "MEMPLANE_VECTOR": "cardbox", "MEMPLANE_DATA_DIR": str(tmp_path)}
    run((*memplane, "config", "check"), environ, tmp_path)
    schema = json.loads(run((*memplane, "config", "schema"), outside, tmp_path).stdout)
    assert "cardbox" in json.dumps(schema)
    run((*memplane, "init", "cardbox"), outside, tmp_path)
    assert "semantic: {store: cardbox, " in (tmp_path / "memplane.yaml").read_text()
    run((*memplane, "config", "check"), outside, tmp_path)


def test_a_gateway_serves_from_it(outside: dict[str, str]) -> None:
    environ = {"PYTHONPATH": outside["PYTHONPATH"], "MEMPLANE_VECTOR": "cardbox+1000"}
    with room() as place, Gateway(place, environ=environ) as gateway:
        with Client(gateway.address) as client:
            able = client.capabilities()[Kind.SEMANTIC]
            assert able.conditional_write is ConditionalWrite.COORDINATED
            assert not able.keyword
            ada = client.scope("support-bot", "user-42")
            first = ada.remember("Prefers tea in the morning", attributes={"n": 9, "topic": "food"})
            ada.remember("Lives in Oslo", attributes={"n": 10, "topic": "home"})
            ada.remember("Was born in 1990", attributes={"n": "10"})
            ada.record("Asked for a refund", session_id="s-17")
            ada.set("tone", {"style": "short"})
            hits = ada.search("morning tea", limit=1)
            assert [hit.memory.text for hit in hits] == ["Prefers tea in the morning"]
            assert hits.mode is Mode.VECTOR
            found = ada.search("Oslo", filter=(attr("n") >= 10) & (attr("topic") != "food"))
            assert [hit.memory.text for hit in found] == ["Lives in Oslo"]
            assert ada.update(Kind.SEMANTIC, first.key, attributes={"topic": "drink"}).ok
            assert sorted(memory.text for memory in ada.list()) == [
                "Lives in Oslo",
                "Prefers tea in the morning",
                "Was born in 1990",
            ]
            assert ada.delete(Kind.SEMANTIC, first.key).ok
            assert ada.count(Kind.SEMANTIC) == 2
            assert ada.value("tone") == {"style": "short"}
            with pytest.raises(Unimplemented):
                ada.search("Oslo", mode=Mode.KEYWORD)
            assert not client.status().routes[Kind.SEMANTIC].persistent
        assert "bug in" not in gateway.log


def test_the_suite_of_stores_holds_it(outside: dict[str, str], tmp_path: Path) -> None:
    environ = {**outside, "MEMPLANE_CONFORMANCE_STORE": "cardbox"}
    some = () if THOROUGH else ("-k", "not random_trees")
    done = run((*SUITE, "memplane_adapters.conformance.stores", *some), environ, tmp_path)
    assert " passed" in done.stdout
    assert "does not declare conditional_write" in done.stdout


@pytest.mark.timeout(600)
def test_the_suite_of_memories_holds_it(outside: dict[str, str], tmp_path: Path) -> None:
    """Through one door: the other differs in the wire alone."""
    environ = {**outside, "MEMPLANE_VECTOR": "cardbox"}
    chosen = " or ".join(f"test_{name}" for name in FILES)
    some = ("-k", f"in-process and ({chosen})")
    done = run((*SUITE, "memplane_adapters.conformance.memories", *some), environ, tmp_path)
    assert " passed" in done.stdout
