"""Page tokens: they come back as they were sealed, and nothing else passes for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memplane_adapters.contract import Cursor
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.tokens import LIFETIME, PageTokens, Position, SearchPosition

TOKENS = PageTokens(b"s" * 32)
NOW = 1_700_000_000_000_000

positions = st.builds(
    Position,
    st.builds(
        Cursor,
        st.integers(-(2**63), 2**63 - 1),
        st.lists(st.text(min_size=1), max_size=16).map(tuple),
        st.text(min_size=1),
    ),
    st.integers(0, 2**63 - 1),
    st.booleans(),
)


@given(positions, st.binary())
def test_a_position_survives(position: Position, binding: bytes) -> None:
    token = TOKENS.seal(position, binding, NOW)
    assert token.isascii()
    assert TOKENS.open(token, binding, NOW) == position


search_positions = st.builds(
    SearchPosition,
    st.integers(0, 1000),
    st.integers(0, 2**63 - 1),
    st.integers(0, 1000),
    st.none() | positions.map(lambda position: position.cursor),
)


@given(search_positions, st.binary())
def test_a_position_in_a_search_survives(position: SearchPosition, binding: bytes) -> None:
    token = TOKENS.seal_search(position, binding, NOW)
    assert token.isascii()
    assert TOKENS.open_search(token, binding, NOW) == position


def _refused(token: str, binding: bytes = b"question", now: int = NOW) -> None:
    with pytest.raises(MemplaneError) as caught:
        TOKENS.open(token, binding, now)
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


SEALED = TOKENS.seal(Position(Cursor(7, ("a",), "k")), b"question", NOW)


@pytest.mark.parametrize("index", range(len(SEALED)))
def test_an_altered_token_is_refused(index: int) -> None:
    other = "A" if SEALED[index] != "A" else "B"
    altered = SEALED[:index] + other + SEALED[index + 1 :]
    try:
        TOKENS.open(altered, b"question", NOW)
    except MemplaneError:
        _refused(altered)
    else:
        # The last character may hold bits that no byte needs.
        assert index == len(SEALED) - 1


@given(st.integers(0, len(SEALED) - 1))
def test_a_cut_token_is_refused(length: int) -> None:
    _refused(SEALED[:length])


@given(st.text())
def test_noise_is_refused(noise: str) -> None:
    if noise != SEALED:
        _refused(noise)


def test_a_token_of_another_question_secret_or_day_is_refused() -> None:
    _refused(SEALED, b"another question")
    _refused(PageTokens(b"t" * 32).seal(Position(Cursor(7, (), "k")), b"question", NOW))
    _refused(SEALED, now=NOW + LIFETIME + 1)
