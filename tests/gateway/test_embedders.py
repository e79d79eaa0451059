"""Texts to vectors, with a real HTTP server where one is asked."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.gateway.endpoint import KEY, OPENAI, SETTINGS, Endpoint, Reply, assert_right

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.embedders import (
    Embedder,
    EmbedderError,
    EmbedderReason,
    HashSettings,
    NoneSettings,
    OpenAISettings,
    create,
)
from memplane_gateway.embedders.base import unit_vectors

PATHS = {"PYTHONPATH": ":".join(sys.path)}
TEXTS = st.text() | st.text(alphabet="aA ß'é猫お茶ไทยשمَ🎉\ufe0f\u200d\x00")


def vectors_of(texts: list[str]) -> list[Vector | None]:
    return asyncio.run(create(HashSettings()).embed(texts))


def cosine(one: str, other: str) -> float:
    first, second = map(np.asarray, vectors_of([one, other]))
    return float(first @ second)


# --- settings -----------------------------------------------------------------------------------


def test_provider_chooses_the_embedder() -> None:
    for values, identity in (
        ({"provider": "none", "dimension": 3}, EmbeddingIdentity("client", "", 3)),
        ({"provider": "hash"}, EmbeddingIdentity("hash", "words-1/grams-1", 512)),
        (OPENAI, EmbeddingIdentity("openai", "m", 3)),
    ):
        assert create(SETTINGS.validate_python(values)).identity == identity


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": "magic"},
        {"provider": "none"},
        {"provider": "none", "dimension": 0},
        {"provider": "hash", "dimension": 63},
        {"provider": "openai", "model": "m"},
        OPENAI | {"model": ""},
        OPENAI | {"timeout_seconds": 0},
        OPENAI | {"timeout_seconds": float("nan")},
        OPENAI | {"max_batch": 0},
        OPENAI | {"api_key": " "},
        OPENAI | {"base_url": "localhost:11434"},
        OPENAI | {"base_url": "http://h/v1?a=b"},
    ],
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SETTINGS.validate_python(wrong)


def test_wrong_settings_are_told_without_secrets() -> None:
    keys = ({"api_key": f"{KEY}\nX-Other: 1"}, {"api_key": f"{KEY}\u00e9"})
    for wrong in ({"base_url": f"http://me:{KEY}@localhost/v1"}, *keys):
        with pytest.raises(ValidationError) as caught:
            OpenAISettings.model_validate(OPENAI | wrong)
        assert KEY not in str(caught.value)


def test_a_key_from_a_file_ends_with_a_newline() -> None:
    made = SETTINGS.validate_python(OPENAI | {"api_key": f"{KEY}\n"})
    assert made.api_key.get_secret_value() == KEY
    assert KEY not in repr(made)


# --- none ---------------------------------------------------------------------------------------


async def test_none_takes_no_text() -> None:
    embedder = create(NoneSettings(dimension=3))
    assert not embedder.accepts_text
    assert await embedder.embed([]) == []
    with pytest.raises(EmbedderError, match="vector of 3 numbers") as caught:
        await embedder.embed(["tea"])
    assert caught.value.reason is EmbedderReason.MISCONFIGURED
    await embedder.close()


# --- hash ---------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_hash_gives_unit_vectors(texts: list[str]) -> None:
    vectors = vectors_of(texts)
    assert len(vectors) == len(texts)
    for text, vector in zip(texts, vectors, strict=True):
        [alone] = vectors_of([text])
        if vector is None:
            assert alone is None
            continue
        assert vector.shape == (512,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
        assert alone is not None
        np.testing.assert_allclose(alone, vector, atol=1e-6)


@pytest.mark.parametrize("text", ["", "  ", "...", "🎉", "\x00"])
def test_hash_of_no_word_is_none(text: str) -> None:
    assert vectors_of([text, "tea"])[0] is None


def test_every_word_has_a_vector() -> None:
    """Also those whose features meet at one index with opposite signs."""
    words = [f"{first}{second}" for first in "abcdefghijklmnopqrst" for second in "aeiou0123456789"]
    assert all(vector is not None for vector in vectors_of([*words, "the", "of", "a"]))


def test_hash_matches_words() -> None:
    assert cosine("Prefers tea in the morning", "prefers TEA in the morning!") == pytest.approx(1.0)
    assert cosine("she likes drinking tea", "he liked drinks of tea") > 0.4
    assert cosine("café crème", "cafe creme") == pytest.approx(1.0)
    assert abs(cosine("green tea", "football match")) < 0.2
    # Stop words hardly count.
    assert cosine("what is the weather", "weather") > 0.9
    assert cosine("黒猫がお茶を飲む", "黒猫") > 0.3


def test_hash_is_the_same_in_every_process() -> None:
    """If this fails, the vectors in users' stores no longer fit: raise the version in hash.py."""
    code = (
        "import asyncio, hashlib; from memplane_gateway.embedders import *; import numpy as np;"
        "[v] = asyncio.run(create(HashSettings()).embed(['Prefers tea in the morning, naïve 黒猫']));"
        "print(hashlib.sha256((np.round(v, 3) + 0.0).astype('<f4').tobytes()).hexdigest()[:16])"
    )
    for seed in ("0", "1"):
        env = PATHS | {"PYTHONHASHSEED": seed, "PYTHONUTF8": "1"}
        output = subprocess.check_output([sys.executable, "-c", code], env=env)
        assert output.strip() == b"7f086f72c66862d1"


async def test_hash_of_many_texts() -> None:
    embedder = create(HashSettings(dimension=64))
    texts = [f"memory {number} of a thousand and some" for number in range(1_000)]
    vectors = await embedder.embed(texts)
    assert len(vectors) == 1_000
    for place in (0, 63, 64, 999):
        [alone] = await embedder.embed([texts[place]])
        assert np.array_equal(np.asarray(vectors[place]), np.asarray(alone))
    await embedder.close()


def test_hash_says_what_it_is() -> None:
    embedder = create(HashSettings())
    assert not embedder.knows_meaning
    assert "matches words, not meaning" in embedder.notice


def test_unit_vectors_of_extreme_numbers() -> None:
    with np.errstate(all="raise", under="ignore"):
        huge, tiny, nothing = unit_vectors(
            np.array([[1e308, -1e308], [3e-308, 4e-308], [0.0, -0.0]])
        )
    assert np.asarray(huge) == pytest.approx([0.5**0.5, -(0.5**0.5)])
    assert np.asarray(tiny) == pytest.approx([0.6, 0.8])
    assert nothing is None


# --- openai -------------------------------------------------------------------------------------


async def failure(embedder: Embedder) -> EmbedderError:
    with pytest.raises(EmbedderError) as caught:
        await embedder.embed(["tea"])
    await embedder.close()
    assert KEY not in repr(caught.value)
    return caught.value


async def test_openai_sends_batches_and_keeps_the_order(endpoint: Endpoint) -> None:
    embedder = endpoint.embedder(max_batch=4, api_key=KEY)
    texts = [f"text {number} — 黒猫" for number in range(10)]
    assert_right(texts, await embedder.embed(texts))
    assert [len(request["input"]) for request in endpoint.requests] == [4, 4, 2]
    assert {request["model"] for request in endpoint.requests} == {"m"}
    assert {request["encoding_format"] for request in endpoint.requests} == {"base64"}
    assert set(endpoint.keys) == {f"Bearer {KEY}"}
    assert (embedder.knows_meaning, embedder.accepts_text, embedder.notice) == (True, True, "")
    await embedder.close()
    await embedder.close()


async def test_openai_without_texts_or_key(endpoint: Endpoint) -> None:
    embedder = endpoint.embedder()
    assert await embedder.embed([]) == []
    assert await embedder.embed(["", " \n"]) == [None, None]
    assert endpoint.requests == []
    assert (await embedder.embed([" ", "tea"]))[0] is None
    assert endpoint.keys == [None]
    await embedder.close()


async def test_openai_without_base64(endpoint: Endpoint) -> None:
    endpoint.respond = endpoint.floats_only
    embedder = endpoint.embedder(max_batch=1)
    assert_right(["a", "b"], await embedder.embed(["a", "b"]))
    assert_right(["c"], await embedder.embed(["c"]))
    formats = [request["encoding_format"] for request in endpoint.requests]
    assert formats == ["base64", "float", "float", "float"]
    await embedder.close()


async def test_openai_that_ignores_base64(endpoint: Endpoint) -> None:
    endpoint.respond = lambda request: endpoint.vectors(request | {"encoding_format": "float"})
    embedder = endpoint.embedder()
    assert_right(["a", "b"], await embedder.embed(["a", "b"]))
    await embedder.close()


async def test_openai_zero_vector_is_none(endpoint: Endpoint) -> None:
    endpoint.respond = lambda request: Reply(body={"data": [{"embedding": [0, 0.0, 0]}]})
    embedder = endpoint.embedder()
    assert await embedder.embed(["tea"]) == [None]
    await embedder.close()


REASONS = {
    "misconfigured": (301, 401, 403, 404),
    "refused": (400, 413, 422),
    "exhausted": (429,),
    "unavailable": (500, 502, 503, 599),
}


@pytest.mark.parametrize(
    ("status", "reason"), [(code, reason) for reason, codes in REASONS.items() for code in codes]
)
async def test_openai_refusals(
    endpoint: Endpoint, status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    said = {"error": {"message": f"wrong key {KEY} for x", "code": "some_code"}}
    endpoint.respond = lambda request: Reply(status, said)
    with caplog.at_level(logging.DEBUG):
        error = await failure(endpoint.embedder(api_key=KEY))
    retryable = reason in ("unavailable", "exhausted")
    assert (error.reason, error.retryable, error.retry_after) == (reason, retryable, None)
    assert f"HTTP {status}" in error.message
    assert "some_code" not in error.message
    assert "some_code: wrong key *** for x" in caplog.text
    assert KEY not in caplog.text


async def test_openai_after_a_refusal_works_again(endpoint: Endpoint) -> None:
    embedder = endpoint.embedder()
    endpoint.respond = lambda request: Reply(400)
    with pytest.raises(EmbedderError):
        await embedder.embed(["too long"])
    endpoint.respond = endpoint.vectors
    assert_right(["tea"], await embedder.embed(["tea"]))
    assert endpoint.requests[-1]["encoding_format"] == "base64"
    # Now it is known that base64 is not what is refused.
    endpoint.respond = lambda request: Reply(400)
    before = len(endpoint.requests)
    await failure(embedder)
    assert len(endpoint.requests) == before + 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("inf", None), ("a date", 100.0)],
)
async def test_openai_retry_after(endpoint: Endpoint, header: str, seconds: float | None) -> None:
    if header == "a date":
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    endpoint.respond = lambda request: Reply(429, headers={"Retry-After": header})
    error = await failure(endpoint.embedder())
    assert (error.reason, error.retryable) == ("exhausted", True)
    assert error.retry_after == (None if seconds is None else pytest.approx(seconds, rel=0.1))


async def test_openai_quota_is_not_worth_waiting_for(endpoint: Endpoint) -> None:
    body = {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}
    endpoint.respond = lambda request: Reply(429, body, {"Retry-After": "1"})
    error = await failure(endpoint.embedder())
    assert (error.reason, error.retryable, error.retry_after) == ("misconfigured", False, None)


async def test_openai_wrong_dimension(endpoint: Endpoint) -> None:
    error = await failure(endpoint.embedder(dimension=4))
    assert error.reason is EmbedderReason.DIMENSION
    assert "of 3 numbers" in error.message
    assert "says 4" in error.message


GOOD: dict[str, Any] = {"index": 0, "embedding": [1, 2, 3]}
NO_VECTORS: list[Any] = [None, "AAAA!", "AAAA", {"a": 1}, [[1, 2, 3]], [1, [2], 3]]
NOT_FINITE: list[Any] = [[1, float("nan"), 3], [1, float("inf"), 3], [1, 10**400, 3]]


@pytest.mark.parametrize(
    "body",
    [
        *("<html>Bad gateway</html>", "[" * 100_000, None, [], {}, {"data": None}),
        *({"data": data} for data in ([], [1], [{"index": 0}], [GOOD, GOOD])),
        {"data": [GOOD | {"index": 1}]},
        {"data": [GOOD | {"index": []}]},
        {"data": [GOOD, GOOD | {"index": 1}]},
        *({"data": [GOOD | {"embedding": wrong}]} for wrong in NO_VECTORS + NOT_FINITE),
    ],
)
async def test_openai_nonsense(endpoint: Endpoint, body: Any) -> None:
    endpoint.respond = lambda request: Reply(body=body)
    error = await failure(endpoint.embedder())
    assert error.reason is EmbedderReason.PROTOCOL
    assert not error.retryable


async def test_openai_slow(endpoint: Endpoint) -> None:
    endpoint.respond = endpoint.hang
    error = await failure(endpoint.embedder(timeout_seconds=0.05))
    assert (error.reason, error.retryable) == ("unavailable", True)
    assert "in 0.05 seconds" in error.message


async def test_openai_down(endpoint: Endpoint) -> None:
    endpoint.stop()
    error = await failure(endpoint.embedder())
    assert (error.reason, error.retryable) == ("unavailable", True)
    assert "cannot be reached" in error.message


async def test_openai_wrong_path(endpoint: Endpoint) -> None:
    error = await failure(endpoint.embedder(base_url=endpoint.address))
    assert error.reason is EmbedderReason.MISCONFIGURED
    assert "base_url" in error.message


async def test_openai_cancelled_call_leaves_others_unharmed(endpoint: Endpoint) -> None:
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(request: dict[str, Any]) -> Reply:
        loop.call_soon_threadsafe(arrived.set)
        return endpoint.hang(request)

    endpoint.respond = hang
    embedder = endpoint.embedder()
    call = asyncio.create_task(embedder.embed(["one"]))
    await arrived.wait()
    endpoint.respond = endpoint.vectors
    other = asyncio.create_task(embedder.embed(["two"]))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert_right(["two"], await other)
    await embedder.close()


def test_openai_in_a_second_event_loop(endpoint: Endpoint) -> None:
    embedder = endpoint.embedder()

    async def use(text: str) -> None:
        assert_right([text], await embedder.embed([text]))
        await embedder.close()

    asyncio.run(use("one"))
    asyncio.run(use("two"))


def test_httpx_is_loaded_by_the_openai_embedder_alone() -> None:
    code = (
        "import sys; from memplane_gateway.embedders import *;"
        "create(HashSettings()); sys.exit('httpx' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=PATHS)
