"""Hypothesis strategies for requests: few names and places, so that requests meet each other."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from hypothesis import strategies as st
from tests.faults import samples
from tests.faults.hostile import variants
from tests.parity import vectors
from tests.parity.requests import (
    NO_CONDITION,
    READERS,
    Change,
    Condition,
    Hostile,
    Item,
    Listing,
    Name,
    Removal,
    Search,
    Tally,
    Where,
)

from memplane import UNSET, Episode, EpisodeType, Kind, Mode, Order
from memplane.v1 import memory_service_pb2 as svc
from memplane_adapters.conformance import strategies as contract
from memplane_adapters.conformance.memories.helpers import at
from memplane_adapters.contract import All, AnyOf, Filter, Negation, Op
from memplane_adapters.contract import Condition as Leaf

KINDS = (Kind.SEMANTIC, Kind.EPISODIC)
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


def _brief(strategy: st.SearchStrategy[_T]) -> st.SearchStrategy[_T]:
    """The same with a short repr: a state machine writes down the strategies of its rules."""

    @st.composite
    def drawn(draw: st.DrawFn) -> _T:
        return draw(strategy)

    return drawn()


def _of(make: Callable[..., _T], *parts: Any, **named: Any) -> st.SearchStrategy[_T]:
    """As `st.builds`, but what is made is shown by its own repr, which is shorter."""
    drawn = st.tuples(st.tuples(*parts), st.fixed_dictionaries(named))
    return drawn.map(lambda both: make(*both[0], **both[1]))


_kinds = _brief(st.sampled_from(KINDS))
_places = _brief(st.sampled_from(PLACES))
_names = _brief(_of(lambda at, kind: Name(at[0], kind, at[1]), st.sampled_from(NAMES), _kinds))
_minted = _of(Name, st.just(""), _kinds, _places)
_texts = st.sampled_from(("", *TEXTS))
_vectors = st.sampled_from((*("",) * 6, *vectors.GOOD))
_some_vectors = st.sampled_from(tuple(vectors.GOOD))
_values = _brief(contract.values())
_payloads = st.just(UNSET) | _values
_attributes = st.fixed_dictionaries(
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
_importances = st.sampled_from((None, 0.0, 0.25, 0.5, 1.0))
_ttls = st.sampled_from((None, None, None, 0.0, 0.5, 30.0, 1000.0))
_episodes = st.none() | _of(
    Episode,
    type=st.sampled_from(EpisodeType),
    event_time=st.none() | st.integers(0, 3).map(at),
    session_id=st.sampled_from(("", "s-1", "S-1")),
    agent_id=st.sampled_from(("", "a")),
)
_conditions = st.sampled_from(
    (
        *(NO_CONDITION,) * 4,
        *(Condition(back=0),) * 2,
        Condition(back=1),
        Condition(if_absent=True),
        Condition(if_present=True),
    )
)
_change_conditions = st.sampled_from(
    (NO_CONDITION, NO_CONDITION, Condition(back=0), Condition(back=1))
)


def _name_of(part: Item | Change | Removal) -> Name:
    return part.name


items = _brief(
    st.lists(
        _of(
            Item,
            _names | _names | _names | _minted,
            text=_texts,
            vector=_vectors,
            attributes=_attributes,
            value=_payloads,
            importance=_importances,
            pinned=st.booleans(),
            episode=_episodes,
            ttl=_ttls,
            condition=_conditions,
        ),
        min_size=1,
        max_size=4,
        unique_by=_name_of,
    )
)
_removed = st.lists(st.sampled_from(("a", "b", "n", "tags", "absent")), max_size=2).map(tuple)


def _change(
    name: Name, attributes: Mapping[str, Any], remove: Sequence[str], **more: Any
) -> Change:
    """An update; one that both sets and removes an attribute, which is refused, only sometimes."""
    if "absent" not in remove:
        attributes = {name: value for name, value in attributes.items() if name not in remove}
    return Change(name, attributes=attributes, remove=tuple(remove), **more)


changes = st.lists(
    _of(
        _change,
        _names,
        text=st.none() | _texts,
        attributes=_attributes,
        remove=_removed,
        value=_payloads,
        importance=_importances,
        pinned=st.none() | st.booleans(),
        ttl=_ttls,
        condition=_change_conditions,
    ),
    min_size=1,
    max_size=3,
    unique_by=_name_of,
)
removals = _brief(
    st.lists(
        _of(Removal, _names, _conditions.filter(lambda each: not each.if_absent)),
        min_size=1,
        max_size=3,
        unique_by=_name_of,
    )
)
reads = st.lists(_names, min_size=1, max_size=6)


# --- filters ----------------------------------------------------------------------------------

_LATE, _LONG_AGO = datetime(9000, 1, 1, tzinfo=UTC), datetime(1990, 1, 1, tzinfo=UTC)
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
        *(Leaf(("@update_time",), op, _LATE) for op in (Op.LT, Op.GT)),
        *(Leaf(("@create_time",), op, _LONG_AGO) for op in (Op.LT, Op.GTE)),
        Leaf(("@importance",), Op.GTE, 0.25),
        Leaf(("@importance",), Op.IS_NULL, True),
        Leaf(("@pinned",), Op.EQ, True),
    )
)
_of_numbers = _brief(
    _of(
        Leaf,
        st.just(("n",)),
        st.sampled_from((Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE)),
        st.sampled_from(contract.NUMBERS),
    )
)
_trees = _brief(contract.filters(depth=3))
_leaves = _brief(contract.simple_conditions())
_filters: st.SearchStrategy[Filter | None] = st.one_of(
    *[st.none()] * 4,  # much is to be seen without one
    _of_numbers,
    _leaves,
    _trees,
    _system,
    _of(lambda one, two: All((one, two)), _leaves, _system),
    _of(lambda one, two: AnyOf((one, two)), _leaves, _system),
    _of(Negation, _system),
)

# --- reads ------------------------------------------------------------------------------------

_wheres = _brief(
    _of(
        Where,
        _kinds,
        st.just(("",)) | st.just(("",)) | _places,
        st.sampled_from((False, False, True)),
        _filters,
    )
)
_windows = st.sampled_from(
    (
        *[(None, None)] * 12,
        *((at(1), None), (None, at(2)), (at(1), at(3)), (at(3), at(1))),
        *((_LONG_AGO, None), (_LONG_AGO, _LATE), (_LATE, None)),
    )
)
_limits = st.sampled_from((0, 1, 2, 3, 10, 1000))
_floors = st.sampled_from((*[None] * 8, 0.0, 0.4, 0.5, 0.6, 0.75, 1.0))

tallies = _brief(_of(Tally, _wheres))
listings = _of(
    Listing,
    _wheres,
    st.sampled_from(Order),
    st.booleans(),
    st.sampled_from((0, 2, 3, 7, 1000)),
    st.booleans(),
)
_by_vector = _of(
    Search,
    _wheres,
    st.sampled_from((Mode.VECTOR, Mode.AUTO)),
    vector=_some_vectors,
    limit=_limits,
    min_relevance=_floors,
    exact=st.booleans(),
    with_vectors=st.booleans(),
    window=_windows,
)
_by_text = _of(
    Search,
    _wheres,
    st.sampled_from((Mode.VECTOR, Mode.AUTO)),
    text=st.sampled_from(QUESTIONS),
    limit=_limits,
    min_relevance=_floors,
    exact=st.booleans(),
    window=_windows,
)
_by_words = _of(
    Search,
    _wheres,
    st.just(Mode.KEYWORD),
    text=st.sampled_from(QUESTIONS),
    limit=st.just(1000),  # of words the match set is compared, which a limit would cut
    window=_windows,
)
_recent = _of(
    Search, _wheres, st.sampled_from((Mode.RECENT, Mode.AUTO)), limit=_limits, window=_windows
)
searches = _brief(st.one_of(_by_vector, _by_text, _by_words, _recent))

# --- what is refused --------------------------------------------------------------------------

_odd_searches = _of(
    Search,
    _wheres,
    st.sampled_from(Mode).filter(lambda mode: mode not in (Mode.UNKNOWN, Mode.KEYWORD)),
    text=st.sampled_from((None, "", "tea")),
    vector=st.sampled_from(("", "north", *vectors.BAD)),
    limit=st.sampled_from((-1, 0, 1001, 2**31 - 1)),
    min_relevance=st.sampled_from((None, -0.1, 1.1)),
)


@functools.cache
def _messages() -> Sequence[Hostile]:
    """Good messages with one thing wrong, in an order without meaning."""
    made = []
    for method, (good, *_) in samples.requests().items():
        if method in READERS:
            for message in variants(good):
                _own_affairs(message)
                made.append(Hostile(method, message))
    random.Random(20260103).shuffle(made)
    return made


def _own_affairs(message: Any) -> None:
    """Clear what stores may answer each in their own way."""
    for name in ("min_durability", "consistency_token"):
        if name in message.DESCRIPTOR.fields_by_name:
            message.ClearField(name)
    for query in getattr(message, "queries", ()):
        if query.mode == svc.SEARCH_MODE_KEYWORD:  # as above
            query.page_size = 1000


hostile = _brief(st.one_of(_odd_searches, st.deferred(lambda: st.sampled_from(_messages()))))


# --- what an example begins with --------------------------------------------------------------


def _population() -> Sequence[Item]:
    """A memory of each name and kind, of every shape, always the same ones."""
    chance = random.Random(20260104)
    names = [Name(key, kind, place) for key, place in NAMES for kind in KINDS]
    chance.shuffle(names)
    made = []
    for name, fields in zip(names, contract.population(len(names)), strict=True):
        made.append(
            Item(
                name,
                text=chance.choice(TEXTS),
                vector=chance.choice(("", "", *vectors.GOOD)),
                attributes={
                    name: value for name, value in fields.items() if not name.startswith("@")
                },
                importance=chance.choice((None, 0.0, 0.5, 1.0)),
                pinned=chance.random() < 0.3,
                episode=Episode(
                    type=chance.choice(list(EpisodeType)),
                    event_time=at(chance.randrange(4)),
                    session_id=chance.choice(("", "s-1", "S-1")),
                    agent_id=chance.choice(("", "a")),
                ),
            )
        )
    return made


POPULATION = _population()


def _some(number: int) -> st.SearchStrategy[list[int]]:
    """Some of the first memories of the population, by their numbers."""
    drawn = st.tuples(*[st.booleans()] * number)
    return _brief(drawn.map(lambda bits: [number for number, bit in enumerate(bits) if bit]))


beginnings = _some(len(POPULATION))
small_beginnings = _some(12)
