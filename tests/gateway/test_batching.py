"""Batches across concurrent calls, and the cache: each caller has his own vectors, whatever others do."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memplane_adapters.contract import EmbeddingIdentity, Vector
from memplane_gateway.embedders import Embedder, EmbedderError, EmbedderReason, Role, batching
from memplane_gateway.embedders.batching import Batching, Limits
from memplane_gateway.embedders.cache import Caching


def vector_of(text: str, role: Role) -> Vector:
    digest = hashlib.sha256(f"{role.value} {text}".encode()).digest()
    return np.frombuffer(digest, dtype=np.uint8).astype(np.float32)


@dataclass
class Model:
    """An embedder that is told when to answer, what to refuse and when to fail."""

    turns: Sequence[int] = (1,)
    """How many turns of the loop its calls take, again and again."""
    failures: dict[int, EmbedderError] = field(default_factory=dict)
    """By the number of the call."""
    gate: asyncio.Event | None = None
    calls: list[list[str]] = field(default_factory=list)
    running: int = 0
    most: int = 0

    identity = EmbeddingIdentity("test", "test", 32)
    knows_meaning = accepts_text = tells_roles = True
    notice = ""

    async def open(self) -> None:
        """Nothing to begin."""

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        number = len(self.calls)
        self.calls.append(list(texts))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(self.turns[number % len(self.turns)]):
                await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.running -= 1
        if number in self.failures:
            raise self.failures[number]
        if any(text.startswith("bad") for text in texts):
            raise EmbedderError("too long", reason=EmbedderReason.REFUSED)
        return [None if text == "nothing" else vector_of(text, role) for text in texts]

    async def close(self) -> None:
        """Nothing to let go of."""


def is_right(texts: Sequence[str], vectors: Sequence[Vector | None], role: Role) -> bool:
    return len(texts) == len(vectors) and all(
        vector is None
        if text == "nothing"
        else np.array_equal(np.asarray(vector), vector_of(text, role))
        for text, vector in zip(texts, vectors, strict=True)
    )


def assert_told(error: EmbedderError, texts: Sequence[str], role: Role) -> None:
    """That it tells all bad ones of the texts, and has the vectors of the others."""
    bad = {text for text in texts if text.startswith("bad")}
    assert error.refused == bad != set()
    good = [text for text in texts if text not in bad]
    assert is_right(good, [error.made[text] for text in good], role)


def is_empty(embedder: Batching) -> bool:
    """Whether nothing of any call is left behind."""
    return not any(
        getattr(lane, part)
        for lane in embedder._lanes.values()
        for part in ("_calls", "_wanting", "_running", "_under_way", "_sent")
    )


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


# --- properties ---------------------------------------------------------------------------------

TEXTS = st.sampled_from(["a", "b", "c", "d", "e", "nothing", "bad 1", "bad 2", "a longer one"])
CALLS = st.lists(
    st.tuples(
        st.lists(TEXTS, max_size=6),
        st.sampled_from(Role),
        st.integers(0, 12),  # when it begins
        st.none() | st.integers(0, 8),  # when its caller gives up
    ),
    min_size=1,
    max_size=8,
)
FAILURES = st.dictionaries(
    st.integers(0, 8),
    st.sampled_from(
        [
            EmbedderError("down", reason=EmbedderReason.UNAVAILABLE, retryable=True),
            EmbedderError(
                "slow down", reason=EmbedderReason.EXHAUSTED, retryable=True, retry_after=0
            ),
        ]
    ),
    max_size=3,
)


@settings(deadline=None)
@given(
    calls=CALLS,
    failures=FAILURES,
    took=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    limits=st.builds(Limits, st.integers(1, 4), st.none() | st.integers(1, 12), st.integers(1, 3)),
    cached=st.booleans(),
)
def test_every_caller_has_his_own_vectors(
    calls: list[tuple[list[str], Role, int, int | None]],
    failures: dict[int, EmbedderError],
    took: list[int],
    limits: Limits,
    cached: bool,
) -> None:
    model = Model(took, failures)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "_JITTER_SECONDS", 0.0001)
        asyncio.run(_everybody(model, calls, limits, cached))
    assert all(len(texts) <= limits.items for texts in model.calls)
    assert all(len(set(texts)) == len(texts) for texts in model.calls)
    if limits.size is not None:
        assert all(len(t) == 1 or sum(map(len, t)) <= limits.size for t in model.calls)


async def _everybody(
    model: Model,
    calls: list[tuple[list[str], Role, int, int | None]],
    limits: Limits,
    cached: bool,
) -> None:
    inner = Batching(model, limits)
    embedder: Embedder = Caching(inner, 2_000) if cached else inner

    async def call(texts: list[str], role: Role, begins: int) -> None:
        await turns(begins)
        try:
            vectors = await embedder.embed(texts, role)
        except EmbedderError as error:
            if error.reason is EmbedderReason.REFUSED:
                assert_told(error, texts, role)
            else:
                assert model.failures
        else:
            assert is_right(texts, vectors, role)
            assert not any(text.startswith("bad") for text in texts)

    async def caller(texts: list[str], role: Role, begins: int, gives_up: int | None) -> None:
        task = asyncio.create_task(call(texts, role, begins))
        if gives_up is not None:
            await turns(begins + gives_up)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() or task.exception() is None
        else:
            await task

    async with asyncio.timeout(20):
        await asyncio.gather(*(caller(*each) for each in calls))
    assert is_empty(inner)
    await embedder.close()


# --- how batches form ---------------------------------------------------------------------------


async def gather(embedder: Embedder, *calls: Sequence[str]) -> list[list[Vector | None]]:
    return await asyncio.gather(*(embedder.embed(texts) for texts in calls))


async def test_the_first_goes_at_once_and_who_comes_meanwhile_goes_together() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=8, parallel=4))
    first = asyncio.create_task(embedder.embed(["first"]))
    await turns(3)
    assert model.calls == [["first"]]
    others = asyncio.create_task(gather(embedder, ["a", "b"], ["b", "c"], ["first"], ["a"]))
    await turns(3)
    assert model.calls == [["first"]]
    assert model.gate is not None
    model.gate.set()
    assert is_right(["first"], await first, Role.MEMORY)
    assert [len(vectors) for vectors in await others] == [2, 2, 1, 1]
    # Each text once, also the one that was under way when it was asked for again.
    assert model.calls == [["first"], ["a", "b", "c"]]


async def test_full_batches_go_beside_each_other_as_far_as_allowed() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=2, parallel=3))
    call = asyncio.create_task(embedder.embed([f"t{number}" for number in range(9)]))
    await turns(5)
    assert [len(texts) for texts in model.calls] == [2, 2, 2]
    assert model.gate is not None
    model.gate.set()
    await call
    assert model.most == 3
    assert [len(texts) for texts in model.calls] == [2, 2, 2, 2, 1]


async def test_a_large_call_leaves_room_and_a_search_has_a_lane_of_its_own() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=4))
    large = asyncio.create_task(embedder.embed([f"t{number}" for number in range(40)]))
    await turns(3)
    small = asyncio.create_task(embedder.embed(["small"]))
    query = asyncio.create_task(embedder.embed(["what?"], Role.QUERY))
    await turns(3)
    assert model.calls[1:] == [["what?"]]
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(large, small, query)
    assert "small" in model.calls[2]


async def test_a_slow_batch_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE_SECONDS", 0.01)
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=4, parallel=2))
    calls = [asyncio.create_task(embedder.embed([text])) for text in "ab"]
    async with asyncio.timeout(20):
        while len(model.calls) < 2:  # noqa: ASYNC110 (the model does not tell)
            await asyncio.sleep(0.005)
    assert model.calls == [["a"], ["b"]]
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(*calls)


async def test_who_gives_up_ends_a_batch_that_nobody_else_wants() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=4))
    alone = asyncio.create_task(embedder.embed(["a"]))
    await turns(3)
    alone.cancel()
    other = asyncio.create_task(embedder.embed(["a"]))
    await turns(5)
    # What was under way is of no use any more, so the next did not wait for it.
    assert (model.calls, model.running) == ([["a"], ["a"]], 1)
    third = asyncio.create_task(embedder.embed(["a", "b"]))
    await turns(3)
    other.cancel()
    await turns(3)
    assert model.running == 1  # the third wants it, too
    assert model.gate is not None
    model.gate.set()
    assert is_right(["a", "b"], await third, Role.MEMORY)
    assert is_empty(embedder)


async def test_who_gives_up_before_his_batch_has_begun_holds_up_nobody() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=1))
    first, second, third = (asyncio.create_task(embedder.embed([text])) for text in "abc")
    await turns(3)
    assert model.gate is not None
    model.gate.set()
    second.cancel()  # hears of it when the task of his batch is there, and has not run yet
    async with asyncio.timeout(20):
        await first
        assert is_right(["c"], await third, Role.MEMORY)
    assert model.calls == [["a"], ["c"]]


async def test_what_is_left_of_a_refused_batch_is_sent_again() -> None:
    """Its callers have given up, and with them the text that was the cause."""
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=4))
    first = asyncio.create_task(embedder.embed(["first"]))
    await turns(3)
    bad = asyncio.create_task(embedder.embed(["bad"]))
    good = asyncio.create_task(embedder.embed(["good"]))
    await turns(3)
    gate, model.gate = model.gate, asyncio.Event()
    assert gate is not None
    gate.set()
    await first
    await turns(3)
    assert model.calls[1] == ["bad", "good"]
    bad.cancel()
    await turns(3)
    model.gate.set()
    assert is_right(["good"], await good, Role.MEMORY)


async def test_a_refused_text_is_the_failure_of_those_who_sent_it_alone() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=64))
    first = asyncio.create_task(embedder.embed(["first"]))
    await turns(3)
    good = [asyncio.create_task(embedder.embed([f"t{number}"])) for number in range(31)]
    bad = asyncio.create_task(embedder.embed(["bad", "t3"]))
    await turns(3)
    assert model.gate is not None
    model.gate.set()
    for number, task in enumerate(good):
        assert is_right([f"t{number}"], await task, Role.MEMORY)
    with pytest.raises(EmbedderError) as caught:
        await bad
    assert caught.value.reason is EmbedderReason.REFUSED
    await first
    # By halves: 33 texts, two requests for each of six halvings at most.
    assert len(model.calls) <= 2 + 2 * 6


async def test_what_is_taken_beside_refused_texts_is_made_and_kept() -> None:
    model = Model()
    embedder = Caching(Batching(model, Limits(items=2)), 10_000)
    await embedder.embed(["kept"])
    texts = ["a", "bad 1", "kept", "b", "bad 2", "nothing"]
    with pytest.raises(EmbedderError) as caught:
        await embedder.embed(texts)
    assert caught.value.reason is EmbedderReason.REFUSED
    assert_told(caught.value, texts, Role.MEMORY)
    good = ["a", "kept", "b", "nothing"]
    asked = len(model.calls)
    assert is_right(good, await embedder.embed(good), Role.MEMORY)
    assert len(model.calls) == asked


@pytest.mark.parametrize("word", ["bad", "all"])
async def test_who_refuses_everything_is_not_asked_for_each_text(word: str) -> None:
    class Wrong(Model):
        async def embed(
            self, texts: Sequence[str], role: Role = Role.MEMORY
        ) -> list[Vector | None]:
            made = await super().embed(texts, role)
            if word == "all":
                raise EmbedderError("no such field", reason=EmbedderReason.REFUSED)
            return made

    model = Wrong()
    texts = [f"{word} {number}" for number in range(64)]
    with pytest.raises(EmbedderError) as caught:
        await Batching(model, Limits(items=64)).embed(texts)
    if word == "all":
        assert (caught.value.reason, caught.value.refused) == ("misconfigured", frozenset())
        assert len(model.calls) < 24
    else:  # for their own sake
        assert_told(caught.value, texts, Role.MEMORY)
        assert len(model.calls) == 64 + 63 + 1


async def test_a_batch_is_full_by_the_bytes_of_its_texts() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=8, size=10, parallel=2))
    calls = [asyncio.create_task(embedder.embed([text])) for text in ("first", "猫猫猫猫")]
    await turns(3)
    assert model.calls == [["first"], ["猫猫猫猫"]]
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(*calls)


async def test_what_is_under_way_or_shared_fills_no_batch() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=3, parallel=2))
    asked = (["a"], ["a"], ["a"], ["b"], ["b"], ["b", "a"])
    calls = [asyncio.create_task(embedder.embed(texts)) for texts in asked]
    await turns(3)
    assert model.calls == [["a"]]
    last = asyncio.create_task(embedder.embed(["c", "d"]))
    await turns(3)
    assert model.calls == [["a"], ["b", "c", "d"]]
    assert model.gate is not None
    model.gate.set()
    await asyncio.gather(*calls, last)


async def test_close_ends_what_waits() -> None:
    model = Model(gate=asyncio.Event())
    embedder = Batching(model, Limits(items=1))
    calls = [asyncio.create_task(embedder.embed([text])) for text in "ab"]
    await turns(3)
    await embedder.close()
    for call in calls:
        with pytest.raises(EmbedderError, match="closed"):
            await call
    assert (model.running, is_empty(embedder)) == (0, True)


async def test_a_bug_in_an_embedder_reaches_who_waits(caplog: pytest.LogCaptureFixture) -> None:
    class Careless(Model):
        async def embed(
            self, texts: Sequence[str], role: Role = Role.MEMORY
        ) -> list[Vector | None]:
            return (await super().embed(texts, role))[1:]

    with pytest.raises(ValueError, match="zip"):
        await Batching(Careless(), Limits(items=4)).embed(["a", "b"])
    assert "bug in an embedder" in caplog.text


# --- the cache ----------------------------------------------------------------------------------


async def test_the_cache_keeps_what_was_used_last() -> None:
    model = Model()
    size = 32 * 4 + 400
    embedder = Caching(model, 3 * size)
    for texts in (["a", "b", "c"], ["a"], ["d"], ["a", "c", "d"]):
        assert is_right(texts, await embedder.embed(texts), Role.MEMORY)
    assert model.calls == [["a", "b", "c"], ["d"]]
    assert is_right(["b", "b"], await embedder.embed(["b", "b"]), Role.MEMORY)
    assert model.calls[-1] == ["b"]
    assert embedder._bytes == 3 * size


async def test_the_cache_tells_roles_apart_and_keeps_that_there_is_no_vector() -> None:
    model = Model()
    embedder = Caching(model, 10_000)
    for role in Role:
        for _ in range(2):
            assert is_right(["a", "nothing"], await embedder.embed(["a", "nothing"], role), role)
    assert len(model.calls) == 2


async def test_the_cache_holds_neither_texts_nor_what_can_be_changed() -> None:
    embedder = Caching(Model(), 10_000)
    [vector] = await embedder.embed(["a secret"])
    assert not any(b"secret" in key for key in embedder._kept)
    assert vector is not None
    with pytest.raises(ValueError, match="read-only"):
        vector[0] = 0.0


async def test_a_failure_is_not_kept() -> None:
    model = Model(failures={0: EmbedderError("down", reason=EmbedderReason.UNAVAILABLE)})
    embedder = Caching(model, 10_000)
    with pytest.raises(EmbedderError):
        await embedder.embed(["a"])
    assert is_right(["a"], await embedder.embed(["a"]), Role.MEMORY)
