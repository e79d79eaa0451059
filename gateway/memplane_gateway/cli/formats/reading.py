"""Finds out in which format something is, and reads it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from memplane_gateway.cli.formats import chat, json_lines, locomo, values
from memplane_gateway.cli.formats.entries import Entry, FormatError, Into
from memplane_gateway.cli.formats.source import Source


class Format(StrEnum):
    """A form in which memories are given."""

    JSONL = "jsonl"
    CHAT = "chat"
    LOCOMO = "locomo"


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read."""

    format: Format
    entries: Iterator[Entry]
    by_line: bool
    """Whether it is read as the entries are asked for; else it is in memory."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What the beginning of a file shows."""

    first: Any
    """What the first line says; None when that is not JSON by itself."""
    lines: int
    """How many lines there are: 0, 1, or 2 for more."""
    opens: bool
    """Whether the first line begins an object or a list."""


def read(source: Source, form: Format | None, into: Into) -> Reading:
    """What a file holds, in a format or else in the one that it looks like.

    Raises:
        FormatError: The whole file is not in that format, or in none.
    """
    look = _look(source)
    document: Any = None
    if form is None:
        if look.first is None and look.opens and look.lines > 1:
            source, document = _document_or_lines(source)
        form = _guess(look.first if document is None else document)
        if form is Format.JSONL and document is not None:
            raise FormatError(
                "it is one JSON document and neither a chat nor LoCoMo; JSON Lines has one memory a "
                "line (jq -c makes them)"
            )
    if form is Format.JSONL:
        return Reading(form, json_lines.read(source.lines(), into), by_line=True)
    if form is Format.CHAT and document is None and look.first is not None and look.lines > 1:
        return Reading(form, chat.read_lines(source.lines(), into), by_line=True)
    document = _document(source) if document is None else document
    entries = chat.read_document if form is Format.CHAT else locomo.read
    return Reading(form, entries(document, into), by_line=False)


def _look(source: Source) -> _Look:
    seen = source.first_lines(2)
    line = seen[0][1] if seen else None
    return _Look(_parsed(line), len(seen), bool(line and line.lstrip()[:1] in (b"{", b"[")))


def _guess(document: Any) -> Format:
    if chat.is_chat(document):
        return Format.CHAT
    return Format.LOCOMO if locomo.is_locomo(document) else Format.JSONL


def _document_or_lines(source: Source) -> tuple[Source, Any]:
    """The whole as one document; None when it is none, and then it can be read once more by line."""
    whole = _whole(source)
    document = _parsed(whole)
    if document is not None:
        return source, document
    return Source(io.BytesIO(whole)), None


def _document(source: Source) -> Any:
    try:
        return values.loads(_whole(source))
    except ValueError as error:
        raise FormatError(f"it {error}") from None


def _whole(source: Source) -> bytes:
    try:
        return source.whole()
    except ValueError as error:
        raise FormatError(f"it {error}") from None


def _parsed(text: bytes | None) -> Any:
    try:
        return None if text is None else values.loads(text)
    except ValueError:
        return None
