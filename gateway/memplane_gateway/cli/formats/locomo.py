"""Conversations in the format of LoCoMo (snap-research/locomo): the one reader of what was said.

A sample is an object with session_1, session_1_date_time, session_2, ...; in the file of the paper
they stand in a list, each as `conversation` beside its `sample_id`. Questions are the business of bench/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from memplane import Episode, EpisodeType, Kind, Put, Ref
from memplane_gateway.cli.formats import values
from memplane_gateway.cli.formats.entries import Entry, Found, Into, Problem, entry

_SESSION: Final = re.compile(r"session_(\d+)")
_DATE: Final = "%I:%M %p on %d %B, %Y"
_PACE: Final = timedelta(seconds=1)
"""From turn to turn: the data dates sessions only, and this keeps turns in order."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody said."""

    dia_id: str
    session: str
    speaker: str
    text: str
    time: datetime
    caption: str = ""
    """Of the image that was shown; empty without one."""


def is_locomo(document: Any) -> bool:
    """Whether it looks like a sample, or a list of them."""
    first = document[0] if isinstance(document, list) and document else document
    if not isinstance(first, dict):
        return False
    inner = first.get("conversation", first)
    return isinstance(inner, dict) and bool(sessions(inner))


def sessions(sample: Mapping[str, Any]) -> list[str]:
    """The names of the sessions of a sample, in order."""
    found = (key for key in sample if _SESSION.fullmatch(key))
    return sorted(found, key=_number)


def _number(session: str) -> tuple[int, str]:
    """What sorts as the number of a session, of however many digits."""
    digits = session.removeprefix("session_").lstrip("0")
    return len(digits), digits


def start_of(sample: Mapping[str, Any], session: str) -> datetime:
    """When a session began. Raises KeyError or ValueError."""
    return datetime.strptime(sample[f"{session}_date_time"].upper(), _DATE).replace(tzinfo=UTC)


def turn_of(given: Mapping[str, Any], session: str, start: datetime, number: int) -> Turn:
    """A turn, the given one of its session, from 0 on. Raises KeyError or TypeError."""
    return Turn(
        dia_id=given["dia_id"],
        session=session,
        speaker=given["speaker"],
        text=given["text"],
        time=start + number * _PACE,
        caption=given.get("blip_caption") or "",
    )


def turns(sample: Mapping[str, Any], session: str) -> Iterator[Turn]:
    """The turns of a session. Raises KeyError, TypeError or ValueError."""
    start = start_of(sample, session)
    for number, given in enumerate(sample[session]):
        yield turn_of(given, session, start, number)


def put_of(turn: Turn, namespace: tuple[str, ...]) -> Put:
    """A turn as a memory. Who spoke stands in the text, too, for questions ask for him by name."""
    return Put(
        Ref(Kind.EPISODIC, namespace, turn.dia_id),
        text=f"{turn.speaker}: {turn.text}",
        attributes={"image_caption": turn.caption} if turn.caption else None,
        episode=Episode(
            type=EpisodeType.CONVERSATION,
            event_time=turn.time,
            session_id=turn.session,
            actor=turn.speaker,
        ),
    )


def read(document: Any, into: Into) -> Iterator[Entry]:
    """The turns of all samples, each sample in a namespace of its own."""
    listed = document if isinstance(document, list) else [document]
    seen: set[str] = set()
    for number, given in enumerate(listed, 1):
        lone = f"{into.name}-{number}" if isinstance(document, list) else into.name
        name = given.get("sample_id", lone) if isinstance(given, dict) else lone
        inner = given.get("conversation", given) if isinstance(given, dict) else None
        if not isinstance(inner, dict) or not sessions(inner):
            yield Problem(str(name), "is no conversation: it has no session_1")
            continue
        if str(name) in seen:
            yield Problem(str(name), "has the sample_id of a sample before it")
            continue
        seen.add(str(name))
        spoken: set[str] = set()
        for session in sessions(inner):
            yield from _session(inner, session, (*into.namespace, str(name)), spoken)


def _session(
    sample: Mapping[str, Any], session: str, namespace: tuple[str, ...], spoken: set[str]
) -> Iterator[Entry]:
    where = f"{namespace[-1]}, {session}"
    try:
        start = start_of(sample, session)
    except (KeyError, AttributeError, ValueError):
        yield Problem(where, f'{session}_date_time: must be like "1:56 pm on 8 May, 2023"')
        return
    if not isinstance(sample[session], list):
        yield Problem(where, "is no list of turns")
        return
    for number, given in enumerate(sample[session]):
        found = entry(
            f"{where}, turn {number + 1}", partial(_put, given, session, start, number, namespace)
        )
        if isinstance(found, Found):
            key = found.put.ref.key
            if key in spoken:  # it would overwrite that turn
                found = Problem(found.where, f"has the dia_id of a turn before it: {key}")
            spoken.add(key)
        yield found


def _put(given: Any, session: str, start: datetime, number: int, namespace: tuple[str, ...]) -> Put:
    values.expect(given, dict, "", "an object")
    try:
        turn = turn_of(given, session, start, number)
    except KeyError as error:
        raise ValueError(f"has no {error.args[0]}") from None
    values.expect(turn.text, str, "text", "a string")
    return put_of(turn, namespace)
