"""What requests are made of, whatever kind they are about: few names and places, so that they meet."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from hypothesis import strategies as st
from tests.parity import vectors
from tests.parity.requests import NO_CONDITION, Condition

from memplane import UNSET, Episode, EpisodeType
from memplane_adapters.conformance import strategies as contract
from memplane_adapters.conformance.memories.helpers import at
from memplane_adapters.contract import All, AnyOf, Filter, Negation, Op
from memplane_adapters.contract import Condition as Leaf

PLACES: tuple[tuple[str, ...], ...] = (
    ("",),
    ("", "a"),
    ("", "a", "b"),
    ("", "a", "b", "a"),
    ("", "ab"),
    ("", "A"),
    ("", "a.b"),
    ("", "a/b"),
    ("", "%"),
    ("", "_"),
    ("", "*"),
    ("", "\\"),
    ("", "é"),
    ("-",),
    ("a",),
    ("/a", "b"),
)
"""Where requests look; half of these hold something."""
NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    *(("k", place) for place in PLACES[:10]),
    *((key, ("",)) for key in ("K", "k1", "k%", "k_", "k*", "k?", "a/b", "a.b", " ")),
    *((key, ("", "a")) for key in ("\\", "é", "日本", "🙂", "10", "a:b")),
    *((key, ("-",)) for key in ("k", "it's", '"')),
)
"""What memories are called, and where they lie."""
TEXTS = (
    "",
    "tea",
    "Ada prefers green tea in the morning",
    "Bob drinks coffee, and Ada drinks water",
    "coffee and tea, and more TEA",
    "Bob repaired his bicycle",
    "NOT tea",
    "!!! ...",
    "日本語 のお茶",
    'it\'s 100 % of "a_b" \\ c*',
)
QUESTIONS = (
    "tea",
    "TEA",
    "tea coffee",
    "bicycles",
    "zebra",
    "!!!",
    "お茶",
    '"tea" OR b*',
    "what does Ada drink?",
)

_T = TypeVar("_T")


def brief(strategy: st.SearchStrategy[_T]) -> st.SearchStrategy[_T]:
    """The same with a short repr: a state machine writes down the strategies of its rules."""

    @st.composite
    def drawn(draw: st.DrawFn) -> _T:
        return draw(strategy)

    return drawn()


def of(make: Callable[..., _T], *parts: Any, **named: Any) -> st.SearchStrategy[_T]:
    """As `st.builds`, but what is made is shown by its own repr, which is shorter."""
    drawn = st.tuples(st.tuples(*parts), st.fixed_dictionaries(named))
    return drawn.map(lambda both: make(*both[0], **both[1]))


places = brief(st.sampled_from(PLACES))
texts = st.sampled_from(("", *TEXTS))
any_vector = st.sampled_from((*("",) * 6, *vectors.GOOD))
_indexed = st.dictionaries(
    st.sampled_from(("p", "P", "é")),
    st.sampled_from((*TEXTS[1:6], "@north", "@east", "@south", "@anywhere 0", "@short")),
    min_size=1,
).map(lambda texts: tuple(texts.items()))
further_texts = st.one_of(*[st.just(())] * 4, _indexed)
changed_texts = st.one_of(*[st.none()] * 4, st.just(()), _indexed)
some_vector = st.sampled_from(tuple(vectors.GOOD))
_values = brief(contract.values())
payloads = st.just(UNSET) | _values
attributes = st.fixed_dictionaries(
    {},
    optional={
        "a": _values,
        "b": _values,
        "n": st.sampled_from(contract.NUMBERS),
        "tags": st.sampled_from(contract.LISTS),
        "m": st.sampled_from(contract.MAPS),
        "a.b": _values,
        "$time": _values,
        "日本": _values,
    },
)
importances = st.sampled_from((None, 0.0, 0.25, 0.5, 1.0))
ttls = st.sampled_from((None, None, None, 0.0, 0.5, 30.0, 1000.0))
episodes = st.none() | of(
    Episode,
    type=st.sampled_from(EpisodeType),
    event_time=st.none() | st.integers(0, 3).map(at),
    session_id=st.sampled_from(("", "s-1", "S-1")),
    agent_id=st.sampled_from(("", "a")),
)
conditions = st.sampled_from(
    (
        *(NO_CONDITION,) * 4,
        *(Condition(back=0),) * 2,
        Condition(back=1),
        Condition(if_absent=True),
        Condition(if_present=True),
    )
)
rare_conditions = st.sampled_from(
    (
        *(NO_CONDITION,) * 12,
        *(Condition(back=0), Condition(back=1)),
        *(Condition(if_absent=True), Condition(if_present=True)),
    )
)
change_conditions = st.sampled_from(
    (NO_CONDITION, NO_CONDITION, Condition(back=0), Condition(back=1))
)
removed = st.lists(st.sampled_from(("a", "b", "n", "tags", "absent")), max_size=2).map(tuple)


# --- filters ----------------------------------------------------------------------------------

LATE, LONG_AGO = datetime(9000, 1, 1, tzinfo=UTC), datetime(1990, 1, 1, tzinfo=UTC)
_system: st.SearchStrategy[Filter] = st.sampled_from(
    (
        *(Leaf(("@key",), Op.EQ, key) for key in ("k", "K", "k%", "日本")),
        Leaf(("@key",), Op.STARTS_WITH, "k"),
        Leaf(("@key",), Op.IN, ["k", "k_", "10", 10]),
        Leaf(("@session_id",), Op.EQ, "s-1"),
        Leaf(("@session_id",), Op.EXISTS, False),
        Leaf(("@agent_id",), Op.NE, "a"),
        Leaf(("@episode_type",), Op.IN, ["action", "custom"]),
        Leaf(("@event_time",), Op.GT, at(1)),
        Leaf(("@event_time",), Op.LTE, "2024-05-17T12:00:01Z"),
        *(Leaf(("@update_time",), op, LATE) for op in (Op.LT, Op.GT)),
        *(Leaf(("@create_time",), op, LONG_AGO) for op in (Op.LT, Op.GTE)),
        Leaf(("@importance",), Op.GTE, 0.25),
        Leaf(("@importance",), Op.IS_NULL, True),
        Leaf(("@pinned",), Op.EQ, True),
    )
)
_of_numbers = brief(
    of(
        Leaf,
        st.just(("n",)),
        st.sampled_from((Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE)),
        st.sampled_from(contract.NUMBERS),
    )
)
_trees = brief(contract.filters(depth=3))
_leaves = brief(contract.simple_conditions())
filters: st.SearchStrategy[Filter | None] = st.one_of(
    *[st.none()] * 4,  # much is to be seen without one
    _of_numbers,
    _leaves,
    _trees,
    _system,
    of(lambda one, two: All((one, two)), _leaves, _system),
    of(lambda one, two: AnyOf((one, two)), _leaves, _system),
    of(Negation, _system),
)

windows = st.sampled_from(
    (
        *[(None, None)] * 12,
        *((at(1), None), (None, at(2)), (at(1), at(3)), (at(3), at(1))),
        *((LONG_AGO, None), (LONG_AGO, LATE), (LATE, None)),
    )
)
limits = st.sampled_from((0, 1, 2, 3, 10, 1000))
floors = st.sampled_from((*[None] * 8, 0.0, 0.4, 0.5, 0.6, 0.75, 1.0))
