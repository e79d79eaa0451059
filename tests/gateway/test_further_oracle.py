"""Any history of memories with further texts is searched as an oracle does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.gateway.texts_house import (
    CALLER,
    House,
    address,
    put_of,
    unit,
)
from tests.thorough import THOROUGH

from memplane_adapters.contract import (
    Vector,
)
from memplane_gateway.memory.model import (
    Removal,
)
from memplane_gateway.wire.vectors import digest_of

_VECTORS = [unit(a, b, c, d) for a, b, c, d in np.random.default_rng(3).standard_normal((12, 4))]
_KEYS = st.sampled_from("abcde")
_SOME = st.lists(st.integers(0, 11), max_size=4, unique=True)
_STEPS = st.one_of(
    st.tuples(st.just("put"), _KEYS, st.integers(-1, 11), _SOME),
    st.tuples(st.just("touch"), _KEYS),
    st.tuples(st.just("delete"), _KEYS),
    st.tuples(st.just("search"), st.integers(0, 11), st.integers(1, 6)),
)


@settings(
    max_examples=25 if THOROUGH else 12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(_STEPS, min_size=3, max_size=14))
def test_any_history_is_searched_as_an_oracle_does(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, ...]]
) -> None:
    asyncio.run(_history(tmp_path_factory.mktemp("h"), steps))


async def _history(directory: Path, steps: list[tuple[Any, ...]]) -> None:
    house = await House(directory).open()
    known: dict[str, dict[str, Vector]] = {}
    for word, *rest in steps:
        if word == "put":
            key, own, some = rest
            texts = {str(n): _VECTORS[n] for n in some}
            mine = None if own == -1 else _VECTORS[own]
            given_put = put_of(key, **texts)
            content = replace(given_put.content, vector_digest=digest_of(mine))
            await house.memories.put(CALLER, [replace(given_put, content=content, vector=mine)])
            known[key] = {} if mine is None else {"": mine}
            known[key] |= texts
        elif word == "touch":
            await house.update(rest[0], len(known))
        elif word == "delete":
            await house.memories.delete([Removal(address(rest[0]))])
            known.pop(rest[0], None)
        else:
            asked, limit = _VECTORS[rest[0]], rest[1]
            hits = await house.found(asked, min_relevance=None, page_size=limit)
            best = {
                key: max(float(vector @ asked) for vector in vectors.values())
                for key, vectors in known.items()
                if vectors
            }
            scores = sorted(best.values(), reverse=True)[:limit]
            assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-5)
            for hit in hits:
                vectors = known[hit.memory.record.address.key]
                assert float(vectors[hit.path] @ asked) == pytest.approx(hit.score, abs=1e-5)
    assert await house.points() == sum(len(each.keys() - {""}) for each in known.values())
    await house.close()
