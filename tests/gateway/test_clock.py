"""The clock: revisions grow whatever wall time does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from memplane_gateway.clock import Clock


@given(
    st.lists(st.integers(0, 2**45), min_size=1, max_size=50),
    st.lists(st.integers(0, 2**62), min_size=50, max_size=50),
)
def test_revisions_grow_and_pass_what_was_seen(walls: list[int], seen: list[int]) -> None:
    times = iter(walls)
    clock = Clock(lambda: next(times, 0))
    last = 0
    for above in seen[: len(walls)]:
        revision = clock.revision(above)
        assert revision > last
        assert revision > above
        last = revision


def test_threads_never_get_the_same_revision() -> None:
    clock = Clock()
    with ThreadPoolExecutor(8) as pool:
        revisions = list(pool.map(lambda _: clock.revision(), range(10_000)))
    assert len(set(revisions)) == 10_000
