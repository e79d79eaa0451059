"""`memplane adopt` against a real gateway, a real Chroma and Qdrant's engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.adapters.qdrant_double import Double, fill_as_others_do
from tests.cli.conftest import clean
from tests.cli.foreign import BAD, FIRST, Chroma, Foreign, Qdrant, text, vectors
from typer.testing import Result

from memplane import Client, Ref, Scope
from memplane_adapters.conformance.local_stores import Servers, at_hand

ROOT = Path(__file__).parents[2]
ROWS = 230
"""More than a page of the vendor's and a batch."""
SECONDS = 60
LANGCHAIN = "langchain"
Adopt = Callable[..., Result]


@pytest.fixture(scope="module")
def chroma(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroma]:
    """A server with a collection of LangChain's."""
    for choice in at_hand("chroma"):
        assert choice.store is not None
        made = Chroma(servers.url(choice.store, tmp_path_factory.mktemp("chroma")))
        made.fill(LANGCHAIN, ROWS)
        yield made
        made.client.delete_collection(LANGCHAIN)
        return
    pytest.skip("no Chroma is at hand")


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Qdrant:
    """A directory with a collection of LangChain's."""
    made = Qdrant(tmp_path_factory.mktemp("qdrant"))
    made.fill(LANGCHAIN, ROWS)
    return made


@pytest.fixture
def vendor(request: pytest.FixtureRequest) -> Foreign:
    """The one that the case names; before `adopt`, which leaves the directory of the project."""
    made: Foreign = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target) as made:
        yield made


@pytest.fixture
def place(target: str, namespace: str) -> tuple[str, str]:
    """Where the gateway is, and a label that no other test uses."""
    return target, namespace


@pytest.fixture
def adopt(run: Callable[..., Result], target: str, tmp_path: Path) -> Adopt:
    """Runs the word with a mapping."""

    def invoke(mapping: dict[str, Any], *arguments: str) -> Result:
        file = tmp_path / "mapping.yaml"
        file.write_text(yaml.safe_dump(mapping, allow_unicode=True))
        return run("adopt", str(file), "--target", target, *arguments)

    return invoke


def documented(adapter: str, vendor: Foreign, namespace: str) -> dict[str, Any]:
    """The mapping of the docs for a vendor, with the address and a namespace of this test's."""
    page = (ROOT / "docs" / "adopt.md").read_text()
    for snippet in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        mapping: dict[str, Any] = yaml.safe_load(snippet)
        if mapping["source"]["adapter"] == adapter:
            mapping["source"] = vendor.source(mapping["source"]["collection"])
            mapping["namespace"][0] = namespace
            return mapping
    raise AssertionError(f"docs/adopt.md maps nothing of {adapter}")


@pytest.mark.parametrize("vendor", ["chroma", "qdrant"], indirect=True)
def test_the_mappings_of_the_docs(
    vendor: Foreign, adopt: Adopt, client: Client, namespace: str, request: pytest.FixtureRequest
) -> None:
    adapter = request.node.callspec.params["vendor"]
    before = vendor.digest(LANGCHAIN)
    mapping = documented(adapter, vendor, namespace)
    scope = client.scope(namespace)

    dry = adopt(mapping, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert text(9) in dry.stdout or adapter == "qdrant"
    assert re.search(r"^read +10$", dry.stdout, re.MULTILINE)
    tried = adopt(mapping, "--dry-run", "--rows", "0", "-o", "json")
    assert tried.exit_code == 1
    shown = json.loads(tried.stdout)
    assert (len(shown["memories"]), shown["read"], shown["refused"]) == (10, ROWS, 1)
    assert shown["problems"][0]["row"] == (f"row-{BAD}" if adapter == "chroma" else str(BAD))
    assert shown["problems"][0]["setting"] == "text"
    assert scope.count(mapping["kind"]) == 0

    done = adopt(mapping)
    assert done.exit_code == 1, done.output
    assert f"row {shown['problems'][0]['row']}: text: " in done.stderr
    assert re.search(rf"^created +{ROWS - 1}$", done.stdout, re.MULTILINE)
    assert scope.count(mapping["kind"]) == ROWS - 1
    memory = client.get(Ref(mapping["kind"], *_expected_place(adapter, namespace)))
    assert memory is not None
    assert memory.text == text(7)
    if adapter == "chroma":
        assert memory.attributes == {"n": 7, "score": 7 / ROWS, "page": 2.5, "ok": True}
        assert memory.importance == pytest.approx(7 / ROWS)
    else:
        assert memory.attributes == {"topic": "drinks", "from": "page 7"}
        assert memory.episode is not None
        assert memory.episode.event_time is not None
        assert memory.episode.event_time.timestamp() == FIRST + 7
        assert memory.episode.session_id == "s-1"

    again = json.loads(adopt(mapping, "-o", "json").stdout)
    assert (again["created"], again["already_there"], again["changed"]) == (0, ROWS - 1, False)
    assert client.get(memory.ref) == memory
    assert vendor.digest(LANGCHAIN) == before


def _expected_place(adapter: str, namespace: str) -> tuple[tuple[str, ...], str]:
    if adapter == "chroma":
        return (namespace, "u1"), "row-7"
    return (namespace, "1"), "7"


def test_a_cut_adoption_goes_on_and_touches_nothing_that_is_there(
    adopt: Adopt, qdrant: Qdrant, client: Client, place: tuple[str, str], tmp_path: Path
) -> None:
    target, namespace = place
    mapping = {
        "source": qdrant.source(LANGCHAIN),
        "namespace": [namespace],
        "text": {"field": "metadata.source.name"},
    }
    scope = client.scope(namespace)
    (tmp_path / "cut.yaml").write_text(yaml.safe_dump(mapping))
    written = cut_short([str(tmp_path / "cut.yaml"), "--target", target], scope)
    changed = scope.put("semantic", "0", text="an agent knows better")

    done = adopt(mapping, "-o", "json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["created"] + report["already_there"] == ROWS
    assert report["already_there"] >= written  # what was under way may have come in
    assert report["created"] > 0
    assert {memory.key for memory in scope.scan()} == {str(row) for row in range(ROWS)}
    found = scope.get("semantic", "0")
    assert found is not None
    assert found.etag == changed.etag

    over = json.loads(adopt(mapping, "--overwrite", "-o", "json").stdout)
    assert (over["updated"], over["unchanged"]) == (1, ROWS - 1)


def cut_short(arguments: list[str], scope: Scope) -> int:
    """An adoption that is killed when something is written; says how much that is."""
    command = [sys.executable, "-m", "memplane_gateway.cli", "adopt", *arguments]
    with subprocess.Popen(
        [*command, "--batch-items", "1"], stdout=subprocess.DEVNULL, env=clean()
    ) as process:
        until = time.monotonic() + SECONDS
        while not scope.count() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        process.kill()
    written = scope.count()
    assert 0 < written < ROWS, "it was cut"
    return written


def test_a_source_that_goes_away_ends_it_and_another_run_goes_on(
    adopt: Adopt, client: Client, namespace: str
) -> None:
    double = Double()
    double.start()
    try:
        fill_as_others_do(double, "others", 450)
        source = {"adapter": "qdrant", "url": double.url, "transport": "rest"}
        mapping = {
            "source": source | {"collection": "others"},
            "namespace": [namespace],
            "text": "text",
        }
        with double.failing("points/scroll", skip=2, status=503):
            cut = adopt(mapping, "--batch-items", "50")
        assert cut.exit_code == 69
        assert "collection others: status 503" in cut.stderr
        assert "the same command goes on" in cut.stderr
        done = json.loads(adopt(mapping, "-o", "json").stdout)
        assert done["already_there"] > 0
        assert done["created"] + done["already_there"] == done["read"]
        assert client.scope(namespace).count() == done["read"]
    finally:
        double.stop()


def test_vectors_are_kept_where_they_fit(
    adopt: Adopt, qdrant: Qdrant, client: Client, namespace: str
) -> None:
    embedding = client.capabilities()["semantic"].embedding
    assert embedding is not None
    fits = embedding.dimension
    mapping: dict[str, Any] = {
        "source": qdrant.source(LANGCHAIN),
        "namespace": [namespace],
        "text": {"field": "metadata.topic"},
        "vector": "keep",
        "embedding_identity_is": "same",
    }
    refused = adopt(mapping)
    assert refused.exit_code == 1
    assert f"the collection has 4 dimensions, the route {fits}" in refused.stderr
    qdrant.put("fitting", [{"body": "x"}, {"body": "y"}], fits)
    mapping |= {"source": qdrant.source("fitting"), "text": "body"}
    assert adopt(mapping).exit_code == 0
    scope = client.scope(namespace)
    for row, vector in enumerate(vectors(2, fits)):
        kept = scope.get("semantic", str(row), with_vectors=True)
        assert kept is not None
        assert kept.vector is not None
        assert np.allclose(kept.vector, vector, atol=1e-6)


def test_two_rows_of_one_key_are_told(
    adopt: Adopt, qdrant: Qdrant, client: Client, namespace: str
) -> None:
    rows = [{"id": "a", "data": "x"}, {"id": "a", "data": "y"}, {"id": "b", "data": "z"}]
    qdrant.put("mem0", [{**row, "user_id": "ada"} for row in rows])
    mapping = {
        "source": qdrant.source("mem0"),
        "namespace": [namespace, {"field": "user_id"}],
        "text": "data",
        "key": "id",
    }
    done = adopt(mapping)
    assert done.exit_code == 1
    assert "row 1: key: another row has the same key in this namespace" in done.stderr
    assert [each.text for each in client.scope(namespace).list()] == ["x", "z"]


@pytest.mark.parametrize("vendor", ["chroma", "qdrant"], indirect=True)
def test_a_collection_that_is_not_there(vendor: Foreign, adopt: Adopt) -> None:
    missing = adopt({"source": vendor.source("langchan"), "text": "x"}, "--dry-run")
    assert missing.exit_code == 78
    assert 'no collection "langchan" (did you mean "langchain"?; there are: ' in missing.stderr


def test_sources_that_cannot_be_read(adopt: Adopt, qdrant: Qdrant, tmp_path: Path) -> None:
    nowhere = adopt({"source": {**qdrant.source("x"), "path": str(tmp_path / "no")}, "text": "x"})
    assert nowhere.exit_code == 78
    assert not (tmp_path / "no").exists()
    gone = {"adapter": "chroma", "url": "http://127.0.0.1:9", "collection": "c"}
    down = adopt({"source": gone}, "-o", "json")
    assert down.exit_code == 69
    assert json.loads(down.stderr)["error"]["code"] == "UNAVAILABLE"
    source = {**qdrant.source(LANGCHAIN), "vector_name": "dense"}
    named = adopt({"source": source, "text": "page_content"}, "--dry-run")
    assert named.exit_code == 78
    assert 'has no vector "dense" (there are: none has a name)' in named.stderr
