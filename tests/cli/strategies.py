"""Memories of every shape that a gateway takes, and what must be the same of two of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from memplane import UNSET, Episode, EpisodeType, IndexedText, Kind, Memory, Put, Ref

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
_TAGS = st.sampled_from(["$bytes", "$time", "$map"])
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
    | st.binary(max_size=8)
    | _TIMES
)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TAGS | _TEXT, inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.text("abc$.é", min_size=1, max_size=5) | _TAGS
_SHORT = st.text("ab é☂", max_size=6)
_EPISODES = st.builds(
    Episode,
    type=st.sampled_from([each for each in EpisodeType if each.name != "UNKNOWN"]),
    event_time=_TIMES,
    session_id=_SHORT,
    agent_id=_SHORT,
    actor=_SHORT,
    input=VALUES,
    output=VALUES,
)
_FUTURE = (datetime(2100, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 (the zone stands beside)


def puts(kind: Kind, namespace: tuple[str, ...] = ()) -> st.SearchStrategy[Put]:
    """Memories of a kind below a namespace."""
    return st.builds(
        Put,
        st.builds(
            lambda below, key: Ref(kind, (*namespace, *below), key),
            st.lists(st.sampled_from(["a", "b c", "é/", "$map"]), max_size=2),
            st.text("xyzé #", min_size=1, max_size=4),
        ),
        text=_TEXT,
        attributes=st.dictionaries(_NAMES, VALUES, max_size=3),
        value=st.just(UNSET) | VALUES,
        episode=_EPISODES if kind is Kind.EPISODIC else st.none(),
        importance=st.none() | st.floats(0, 1),
        pinned=st.booleans(),
        indexed_texts=st.lists(
            st.builds(IndexedText, st.text("pq.é", min_size=1, max_size=3), _TEXT.filter(bool)),
            max_size=2,
            unique_by=lambda text: text.path,
        ).map(tuple)
        if kind is not Kind.PROCEDURAL
        else st.just(()),
        expire_time=st.none() | st.datetimes(*_FUTURE, timezones=st.just(UTC)),
    )


def told(given: Memory | Put, skip: int = 0) -> tuple[Any, ...]:
    """All that a client says of a memory, with types, its namespace without the first labels."""
    put = Put.of(given) if isinstance(given, Memory) else given
    ref = put.ref
    return (
        ref.kind,
        ref.namespace[skip:],
        ref.key,
        put.text,
        typed(put.attributes or {}),
        typed(put.value),
        typed_episode(put.episode),
        put.importance,
        put.pinned,
        put.expire_time,
        put.indexed_texts,
    )


def typed(value: Any) -> Any:
    """A value that equals another only if all in it is of the same type."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return type(value), value.isoformat() if isinstance(value, datetime) else repr(value)


def typed_episode(episode: Episode | None) -> Any:
    """An episode, as `typed`."""
    if episode is None:
        return None
    words = (episode.type, episode.event_time, episode.session_id, episode.agent_id, episode.actor)
    return (*words, typed(episode.input), typed(episode.output))
