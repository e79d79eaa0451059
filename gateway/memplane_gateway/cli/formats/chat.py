"""Chat transcripts in the form of OpenAI's messages: one conversation, several, or one a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from memplane import Episode, EpisodeType, Kind, Put, Ref
from memplane_gateway.cli.formats import values
from memplane_gateway.cli.formats.entries import UNREADABLE, Entry, Into, Problem, entry, problem
from memplane_gateway.cli.formats.source import LONGEST_LINE, Line

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
_IDS: Final = ("id", "session_id", "conversation_id", "thread_id")
_TIMES: Final = ("created_at", "create_time", "timestamp")
_TEXT_PARTS: Final = ("text", "input_text", "output_text")
_FIRST_MILLISECONDS: Final = 1e11
"""A time that is a number beyond this is in milliseconds: in seconds it were the year 5138."""
_MICROSECOND: Final = timedelta(microseconds=1)
_INT64: Final = range(-(2**63), 2**63)


def read_lines(lines: Iterable[Line], into: Into) -> Iterator[Entry]:
    """The turns of conversations that stand one a line; a lone one may have the name of the file."""
    number = 0
    seen: set[str] = set()
    for at, line in lines:
        where = f"line {at}"
        if line is None:
            yield Problem(where, f"is longer than {LONGEST_LINE // 2**20} MiB")
        elif line.strip():
            number += 1
            try:
                document = values.loads(line)
            except ValueError as error:
                yield problem(where, error)
            else:
                yield from _conversation(
                    document, into, f"{into.name}-{number}", f"{where}, ", seen
                )


def read_document(document: Any, into: Into) -> Iterator[Entry]:
    """The turns of one conversation, or of a list of them."""
    seen: set[str] = set()
    if _is_list_of_conversations(document):
        for number, each in enumerate(document, 1):
            where = f"conversation {number}, "
            yield from _conversation(each, into, f"{into.name}-{number}", where, seen)
    else:
        yield from _conversation(document, into, into.name, "", seen)


def is_chat(document: Any) -> bool:
    """Whether it looks like a conversation, or several."""
    if isinstance(document, list):
        first = document[0] if document else None
        return isinstance(first, dict) and ("role" in first or "messages" in first)
    return isinstance(document, dict) and isinstance(document.get("messages"), list)


@dataclass(slots=True)
class _Conversation:
    """What the turns of a conversation have in common."""

    into: Into
    session_id: str
    prefix: str
    """What keys begin with; empty where nothing in the file names the conversation."""
    time: datetime
    """When the last turn happened; the next one that does not say it is a microsecond later."""
    tools: dict[str, str] = field(default_factory=dict)
    """The names of the tools that were called, by the ids of the calls."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One memory of a message."""

    text: str
    type: EpisodeType = EpisodeType.CONVERSATION
    attributes: Mapping[str, Any] = field(default_factory=dict)
    actor: str = ""
    input: Any = None
    output: Any = None


def _conversation(
    document: Any, into: Into, name: str, where: str, seen: set[str]
) -> Iterator[Entry]:
    messages = document.get("messages") if isinstance(document, dict) else document
    if not isinstance(messages, list):
        place = where.removesuffix(", ") or "the file"
        yield Problem(
            place, "is no conversation: neither a list of messages nor an object with one"
        )
        return
    about: Mapping[str, Any] = document if isinstance(document, dict) else {}
    given = str(next((about[each] for each in _IDS if isinstance(about.get(each), str | int)), ""))
    # An id that comes again is one session, but no turn of it overwrites another.
    prefix = "" if given in seen else given
    seen.add(given)
    try:
        begun = _time_of(about)
    except UNREADABLE as error:
        yield problem(f"{where}its time", error)
        begun = None
    talk = _Conversation(into, given or name, prefix, begun or into.time)
    for turn, message in enumerate(messages, 1):
        yield from _turn(message, turn, talk, f"{where}message {turn}")


def _turn(message: Any, turn: int, talk: _Conversation, where: str) -> Iterator[Entry]:
    try:
        parts = _parts(message, talk)
        when = _time_of(message)
    except UNREADABLE as error:
        yield problem(where, error)
        return
    for number, part in enumerate(parts):
        at = where if len(parts) == 1 else f"{where}, part {number + 1}"
        at_first = None if number else when
        yield entry(at, partial(_put, part, message["role"], at_first, (turn, number), talk))


def _put(
    part: _Part, role: str, when: datetime | None, place: tuple[int, int], talk: _Conversation
) -> Put:
    turn, number = place
    # What is derived keeps the order and is the same whenever the file is read.
    talk.time = talk.time + _MICROSECOND if when is None else when
    suffix = f"/{number}" if number else ""
    key = f"{talk.prefix}/{turn:05}{suffix}" if talk.prefix else ""
    return Put(
        Ref(Kind.EPISODIC, talk.into.namespace, key),
        text=part.text,
        attributes={"role": role, "turn": turn, **part.attributes},
        episode=Episode(
            type=part.type,
            event_time=talk.time,
            session_id=talk.session_id,
            actor=part.actor or role,
            input=part.input,
            output=part.output,
        ),
    )


def _parts(message: Any, talk: _Conversation) -> list[_Part]:
    """The memories of a message: what was said, and each call of a tool. Raises ValueError."""
    values.expect(message, dict, "", "an object")
    role = message.get("role")
    if role not in ROLES:
        raise ValueError(f"role: must be one of {', '.join(ROLES)}, not {values.shown(role)}")
    text, attributes = _content(message)
    name = _word(message.get("name"))
    if role in ("tool", "function"):
        return [_observation(message, text, attributes, name, talk)]
    parts = [_Part(text, attributes=attributes, actor=name)] if text or attributes else []
    parts += [_action(call, name, talk) for call in _calls(message)]
    if not parts:
        raise ValueError("has neither content nor calls of tools")
    return parts


def _content(message: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text of a message, and what else is in it. Raises ValueError."""
    content = message.get("content")
    refusal = _word(message.get("refusal"))
    attributes: dict[str, Any] = {"refusal": True} if refusal else {}
    if content is None:
        return refusal, attributes
    if isinstance(content, str):
        return content, attributes
    values.expect(content, list, "content", "a string or a list")
    texts: list[str] = []
    others: list[str] = []
    for number, part in enumerate(content):
        if isinstance(part, str):
            texts.append(part)
            continue
        values.expect(part, dict, f"content[{number}]", "an object")
        if part.get("type") in _TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
            texts.append(part["refusal"])
            attributes["refusal"] = True
        else:
            others.append(str(part.get("type", "unknown")))
    if others:
        attributes["other_parts"] = others
    return "\n".join(texts), attributes


def _calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls of tools, as {id, name, arguments}. Raises ValueError."""
    calls = message.get("tool_calls") or []
    values.expect(calls, list, "tool_calls", "a list")
    found: list[Mapping[str, Any]] = []
    for number, call in enumerate(calls):
        values.expect(call, dict, f"tool_calls[{number}]", "an object")
        body = call.get("function") or call.get("custom")
        values.expect(body, dict, f"tool_calls[{number}].function", "an object")
        found.append({"id": call.get("id"), **body})
    if isinstance(message.get("function_call"), dict):
        found.append(message["function_call"])
    return found


def _action(call: Mapping[str, Any], actor: str, talk: _Conversation) -> _Part:
    name = _word(call.get("name"))
    arguments = call.get("arguments", call.get("input"))
    attributes = {"tool": name}
    if isinstance(call.get("id"), str):
        attributes["tool_call_id"] = call["id"]
        talk.tools[call["id"]] = name
    shown = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return _Part(
        f"{name}({'' if arguments is None else shown})",
        EpisodeType.ACTION,
        attributes,
        actor,
        input=_parsed(arguments),
    )


def _observation(
    message: Mapping[str, Any],
    text: str,
    attributes: dict[str, Any],
    name: str,
    talk: _Conversation,
) -> _Part:
    call = message.get("tool_call_id")
    if isinstance(call, str):
        attributes["tool_call_id"] = call
        name = name or talk.tools.get(call, "")
    if name:
        attributes["tool"] = name
    return _Part(text, EpisodeType.OBSERVATION, attributes, name, output=_parsed(text))


def _parsed(given: Any) -> Any:
    """What a text that is JSON says, if it is a map or a list that can be stored; else itself."""
    if not isinstance(given, str):
        return given
    try:
        read = json.loads(given, parse_constant=_refuse, parse_int=_int64, parse_float=_finite)
    except (ValueError, RecursionError):
        return given
    return read if isinstance(read, dict | list) else given


def _time_of(given: Mapping[str, Any]) -> datetime | None:
    """When it happened, where that is said. Raises ValueError."""
    for name in _TIMES:
        if (said := given.get(name)) is None:
            continue
        if isinstance(said, bool) or not isinstance(said, int | float):
            return values.time(said, name)
        try:
            seconds = said / 1000 if abs(said) >= _FIRST_MILLISECONDS else said
            return datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            raise ValueError(f"{name}: {values.shown(said)} is no time") from None
    return None


def _is_list_of_conversations(document: Any) -> bool:
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, list) or (isinstance(first, dict) and "messages" in first)


def _word(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _int64(digits: str) -> int:
    number = int(digits)
    if number not in _INT64:
        raise ValueError(digits)
    return number


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number
