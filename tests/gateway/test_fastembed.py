"""The embedder `fastembed`, with models of a few kilobytes that the tests write themselves."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from tests.gateway.tiny_model import write_bge, write_jina
from tests.turns import counted_turns

from memplane_gateway.config import load
from memplane_gateway.config.problems import ConfigError
from memplane_gateway.embedders import (
    Embedder,
    EmbedderError,
    EmbedderReason,
    FastEmbedSettings,
    Role,
    create,
    fastembed,
    serving,
)

pytest.importorskip("fastembed", reason='needs pip install "memplane-gateway[fastembed]"')


@pytest.fixture(scope="module")
def bge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bge(tmp_path_factory.mktemp("models") / "bge")


def embedder_of(path: Path, **settings: Any) -> Embedder:
    return create(FastEmbedSettings(model_path=path, **settings))


async def failure(embedder: Embedder) -> EmbedderError:
    with pytest.raises(EmbedderError) as caught:
        await embedder.embed(["tea"])
    await embedder.close()
    return caught.value


async def test_vectors_come_in_order_whatever_runs_together(bge: Path) -> None:
    embedder = embedder_of(bge)
    await embedder.open()
    texts = [
        " ".join(f"w{(number + n) % 30}" for n in range(number % 7 + 1)) for number in range(50)
    ]
    vectors = await embedder.embed([*texts, " \n", ""])
    assert vectors[50:] == [None, None]
    for place in (0, 1, 6, 7, 49):
        [alone] = await embedder.embed([texts[place]])
        assert alone is not None
        assert np.linalg.norm(alone) == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_allclose(np.asarray(vectors[place]), alone, atol=1e-5)
    [one], [other] = await embedder.embed(["tea morning"]), await embedder.embed(["MORNING  tea"])
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)
    assert str(embedder.identity.model) == "BAAI/bge-small-en-v1.5"
    await embedder.close()
    await embedder.close()


async def test_the_event_loop_runs_on(bge: Path) -> None:
    """The model runs in a thread: ticks are counted while it does."""
    embedder = embedder_of(bge)
    async with counted_turns() as turns:
        await embedder.embed([f"w{number % 30} tea" for number in range(2_000)])
    assert turns.count > 10
    await embedder.close()


async def test_a_query_is_not_a_memory(tmp_path: Path) -> None:
    settings = FastEmbedSettings(
        model="jinaai/jina-embeddings-v3", dimension=1024, model_path=write_jina(tmp_path / "jina")
    )
    embedder = serving(settings)
    assert embedder.tells_roles
    stored, asked, again = [
        (await embedder.embed(["tea"], role))[0] for role in (Role.MEMORY, Role.QUERY, Role.MEMORY)
    ]
    assert float(np.asarray(stored) @ np.asarray(asked)) < 0.99
    assert stored is again
    await embedder.close()


async def test_after_a_cancelled_call_and_in_another_loop(bge: Path) -> None:
    embedder = embedder_of(bge)
    call = asyncio.create_task(embedder.embed(["tea"]))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(await embedder.embed(["tea"])) == 1
    await embedder.close()
    assert len(await asyncio.to_thread(lambda: asyncio.run(embedder.embed(["tea"])))) == 1
    await embedder.close()


async def test_model_files_of_another_dimension(tmp_path: Path) -> None:
    error = await failure(embedder_of(write_bge(tmp_path / "bge", dimension=8)))
    assert error.reason is EmbedderReason.DIMENSION
    assert "vectors of 8 numbers" in error.message
    assert "says 384" in error.message


async def test_a_model_that_gives_nonsense(tmp_path: Path) -> None:
    error = await failure(embedder_of(write_bge(tmp_path / "bge", weights=float("nan"))))
    assert error.reason is EmbedderReason.PROTOCOL


async def test_model_files_that_are_not_there(tmp_path: Path) -> None:
    error = await failure(embedder_of(tmp_path / "nowhere"))
    assert (error.reason, error.retryable) == ("misconfigured", False)
    assert str(tmp_path / "nowhere") in error.message


async def test_a_model_that_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    embedder = create(FastEmbedSettings(cache_dir=tmp_path))
    with caplog.at_level(logging.INFO):
        error = await failure(embedder)
    assert (error.reason, error.retryable, error.retry_after) == ("unavailable", True, 30.0)
    assert str(tmp_path) in error.message
    assert "model is being downloaded" in caplog.text
    # The next call tries again.
    assert (await failure(embedder)).reason is EmbedderReason.UNAVAILABLE


async def test_a_call_does_not_wait_for_a_long_download(
    bge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    load = fastembed._model

    def slow(*arguments: Any, **options: Any) -> Any:
        go.wait(30)
        return load(*arguments, **options)

    monkeypatch.setattr(fastembed, "_model", slow)
    monkeypatch.setattr(fastembed, "_LOADING_SECONDS", 0.01)
    embedder = embedder_of(bge)
    with pytest.raises(EmbedderError, match="still being loaded") as caught:
        await embedder.embed(["tea"])
    assert (caught.value.reason, caught.value.retryable) == ("unavailable", True)
    monkeypatch.setattr(fastembed, "_LOADING_SECONDS", 30.0)
    go.set()
    assert len(await embedder.embed(["tea"])) == 1
    await embedder.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dimension": 768}, "vectors of 384 numbers, but the setting `dimension` says 768"),
        ({"model": "BAAI/bge-base-en-v1.5"}, "vectors of 768 numbers"),
        ({"model": "BAAI/bge-smal-en-v1.5"}, 'did you mean "BAAI/bge-small-en-v1.5"'),
        ({"model_path": "models/bge"}, "absolute"),
    ],
)
def test_wrong_settings_are_refused_at_start(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FastEmbedSettings.model_validate(given)
    assert says in str(caught.value)


def test_one_variable_is_enough() -> None:
    settings = load(environ={"MEMPLANE_EMBEDDER": "fastembed"})
    assert settings.embedders["fastembed"] == FastEmbedSettings()
    assert settings.routes.semantic.embedder == settings.routes.episodic.embedder == "fastembed"


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("memplane_gateway.embedders.fastembed.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        load(environ={"MEMPLANE_EMBEDDER": "fastembed"})
    assert 'pip install "memplane-gateway[fastembed]"' in str(caught.value)
    assert "embedders.fastembed.provider" in str(caught.value)


def test_fastembed_is_loaded_where_it_is_configured_alone() -> None:
    code = (
        "import sys; from memplane_gateway.config import load; load(environ={});"
        "sys.exit('fastembed' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
