"""Conversations of LoCoMo with their questions: one JSON file each, as `memplane ingest` reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memplane_gateway.cli.formats import locomo
from memplane_gateway.cli.formats.locomo import Turn

CATEGORIES: Final[Mapping[int, str]] = {
    1: "multi-hop",
    2: "temporal",
    3: "open-domain",
    4: "single-hop",
    5: "adversarial",
}
"""The names that the paper gives to the numbers."""

# "D8:6"; a stray colon behind the D ("D:11:26") is a slip that leaves no doubt.
_DIA_ID: Final = re.compile(r"\bD:?(\d+):(\d+)\b")


@dataclass(frozen=True, slots=True)
class Observation:
    """A fact about a speaker, and the turns that it comes from."""

    session: str
    number: int
    speaker: str
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the turns that answer it."""

    text: str
    category: int
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """All of one file."""

    name: str
    turns: tuple[Turn, ...]
    observations: tuple[Observation, ...]
    questions: tuple[Question, ...]
    """Those with evidence that is there."""
    speakers: Mapping[str, Mapping[str, int]]
    """How many sessions and turns each has."""
    asked: int
    """How many questions the file has, with or without evidence."""
    odd: tuple[str, ...]
    """Evidence that is not the id of one turn that is there, as it stands in the file."""


def read_directory(directory: Path) -> list[Conversation]:
    """All conversations of a directory, by name.

    Raises:
        ValueError: There is none, or a file is none.
    """
    files = sorted(directory.glob("*.json"))
    if not files:
        raise ValueError(f"{directory} holds no *.json files")
    return [read_file(file) for file in files]


def read_file(file: Path) -> Conversation:
    """One conversation. Raises ValueError when the file is none."""
    try:
        return _conversation(file.stem, json.loads(file.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} is no conversation: {error!r}") from error


def dia_ids(evidence: object) -> tuple[str, ...]:
    """The ids of turns in what the data calls evidence: mostly one, rarely several or none."""
    items = evidence if isinstance(evidence, list) else [evidence]
    return tuple(
        f"D{int(session)}:{int(turn)}"
        for item in items
        for session, turn in _DIA_ID.findall(str(item))
    )


def _conversation(name: str, data: Mapping[str, Any]) -> Conversation:
    sessions = locomo.sessions(data)
    turns = tuple(turn for session in sessions for turn in locomo.turns(data, session))
    there = {turn.dia_id for turn in turns}
    questions: list[Question] = []
    odd: list[str] = []
    for item in data["qa"]:
        given = item.get("evidence") or []
        odd += [str(one) for one in given if one not in there]
        evidence = frozenset(dia_ids(given)) & there
        if evidence:
            questions.append(Question(item["question"], int(item["category"]), evidence))
    return Conversation(
        name=name,
        turns=turns,
        observations=tuple(
            observation for session in sessions for observation in _observations(data, session)
        ),
        questions=tuple(questions),
        speakers=_speakers((data["speaker_a"], data["speaker_b"]), turns),
        asked=len(data["qa"]),
        odd=tuple(odd),
    )


def _observations(data: Mapping[str, Any], session: str) -> Iterable[Observation]:
    by_speaker: Mapping[str, Sequence[Sequence[Any]]] = data.get(f"{session}_observation", {})
    for speaker, facts in by_speaker.items():
        for number, (text, evidence) in enumerate(facts):
            yield Observation(session, number, speaker, text, dia_ids(evidence))


def _speakers(names: Sequence[str], turns: Sequence[Turn]) -> dict[str, dict[str, int]]:
    return {
        name: {
            "sessions": len({turn.session for turn in turns if turn.speaker == name}),
            "turns": sum(turn.speaker == name for turn in turns),
        }
        for name in names
    }
