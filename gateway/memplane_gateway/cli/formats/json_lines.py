"""JSON Lines: one memory a line. What `memplane scan` writes and `memplane ingest` reads."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final, cast

from memplane import UNSET, Episode, IndexedText, Memory, Put, Ref
from memplane_gateway.cli import periods
from memplane_gateway.cli.formats import values
from memplane_gateway.cli.formats.entries import Entry, Into, Problem, entry
from memplane_gateway.cli.formats.source import LONGEST_LINE, Line

_FIELDS: Final = (
    "kind",
    "namespace",
    "key",
    "text",
    "attributes",
    "value",
    "episode",
    "importance",
    "pinned",
    "ttl",
    "expire_time",
    "vector",
    "indexed_texts",
)
_CONTENT: Final = ("text", "attributes", "value", "vector", "indexed_texts")
_ONLY_READ: Final = frozenset(
    {
        "etag",
        "revision",
        "create_time",
        "update_time",
        "content_hash",
        "embedding",
        "provenance",
        "searchable",
    }
)
"""What a gateway says of a memory, and nobody tells it."""
_CLIENT: Final = "client"
"""The provider of vectors that clients gave."""
_EPISODE_WORDS: Final = ("type", "session_id", "agent_id", "actor")
_INDEXED_TEXT: Final = ("path", "text", "vector")
_EPISODE: Final = (*_EPISODE_WORDS, "event_time", "input", "output")


def read(lines: Iterable[Line], into: Into) -> Iterator[Entry]:
    """The memories of lines; empty lines are none."""
    for number, line in lines:
        where = f"line {number}"
        if line is None:
            yield Problem(where, f"is longer than {LONGEST_LINE // 2**20} MiB")
        elif line.strip():
            yield entry(where, partial(_put_of_line, line, into))


def _put_of_line(line: bytes, into: Into) -> Put:
    return put_of(values.loads(line), into)


def put_of(document: Any, into: Into) -> Put:
    """The memory that a line stands for; a bare string is a text.

    Raises:
        ValueError: It is none. InvalidArgument when the client says so.
    """
    if isinstance(document, str):
        document = {"text": document}
    values.expect(document, dict, "", "an object or a string")
    _refuse_unknown(document.keys() - _ONLY_READ, _FIELDS, "")
    if not document.keys() & set(_CONTENT):
        raise ValueError(f"has none of {', '.join(_CONTENT)}")
    given = {name: each for name, each in document.items() if each is not None}
    namespace = given.get("namespace", [])
    values.expect(namespace, list, "namespace", "a list of labels")
    return Put(
        Ref(given.get("kind", into.kind), (*into.namespace, *namespace), given.get("key", "")),
        text=given.get("text", ""),
        attributes=values.decode_map(given.get("attributes", {}), "attributes"),
        value=values.decode(document["value"], "value") if "value" in document else UNSET,
        episode=_episode(given["episode"]) if "episode" in given else None,
        importance=given.get("importance"),
        pinned=given.get("pinned", False),
        vector=None if _is_made_anew(given, into) else given.get("vector"),
        indexed_texts=_indexed_texts(given.get("indexed_texts", [])),
        ttl=_ttl(given["ttl"]) if "ttl" in given else None,
        expire_time=(
            values.time(given["expire_time"], "expire_time") if "expire_time" in given else None
        ),
    )


def document_of_memory(
    memory: Memory, bound: Sequence[str] = (), *, with_vectors: bool = False
) -> dict[str, Any]:
    """A memory that was read with its vectors; those of an embedder only where that is asked for."""
    put = Put.of(memory)
    embedding = memory.embedding
    if put.vector is None or embedding is None or embedding.provider == _CLIENT:
        return document_of(put, bound)
    if not with_vectors:
        return document_of(replace(put, vector=None), bound)
    # By this a reader knows that the vector is no client's own.
    return document_of(put, bound) | {"embedding": asdict(embedding)}


def document_of(put: Put, bound: Sequence[str] = ()) -> dict[str, Any]:
    """A memory as `put_of` takes it, below a namespace; what is absent is left out."""
    ref = put.ref
    given: dict[str, Any] = {
        "kind": ref.kind.value,
        "namespace": list(ref.namespace[len(bound) :]),
        "key": ref.key,
        "text": put.text,
        "attributes": values.encode_map(put.attributes or {}),
        "episode": None if put.episode is None else _episode_document(put.episode),
        "importance": put.importance,
        "pinned": put.pinned or None,
        "expire_time": None if put.expire_time is None else values.rfc3339(put.expire_time),
        "vector": _numbers(put.vector),
        "indexed_texts": _indexed_texts_document(cast("Iterable[IndexedText]", put.indexed_texts)),
    }
    document = {name: each for name, each in given.items() if each not in (None, "", {}, [])}
    if put.value is not UNSET:
        document["value"] = values.encode(put.value)
    if not document.keys() & set(_CONTENT):
        document["text"] = ""
    return document


def _is_made_anew(given: Mapping[str, Any], into: Into) -> bool:
    """Whether an embedder made the vector of a text, so that another makes its own."""
    embedding = given.get("embedding")
    if into.with_vectors or not given.get("text") or not isinstance(embedding, dict):
        return False
    return embedding.get("provider") not in (None, _CLIENT)


def _ttl(given: Any) -> float:
    try:
        return periods.seconds(given)
    except ValueError as error:
        raise ValueError(f"ttl: {error}") from None


def _indexed_texts(given: Any) -> tuple[IndexedText, ...]:
    values.expect(given, list, "indexed_texts", "a list")
    texts: list[IndexedText] = []
    for number, each in enumerate(given):
        at = f"indexed_texts[{number}]"
        values.expect(each, dict, at, "an object")
        _refuse_unknown(each.keys(), _INDEXED_TEXT, f"{at}.")
        texts.append(IndexedText(each.get("path", ""), each.get("text") or "", each.get("vector")))
    return tuple(texts)


def _indexed_texts_document(given: Iterable[IndexedText]) -> list[dict[str, Any]]:
    """They in their order, but for a vector that nobody asked for."""
    documents = (
        {"path": each.path, "text": each.text or None, "vector": _numbers(each.vector)}
        for each in given
    )
    shown = ({name: x for name, x in each.items() if x is not None} for each in documents)
    return [each for each in shown if len(each) > 1]


def _numbers(vector: Any) -> list[float] | None:
    return None if vector is None else list(vector)


def _episode(given: Any) -> Episode:
    values.expect(given, dict, "episode", "an object")
    _refuse_unknown(given.keys(), _EPISODE, "episode.")
    words = {name: given[name] for name in _EPISODE_WORDS if given.get(name) is not None}
    when = given.get("event_time")
    return Episode(
        **words,
        event_time=None if when is None else values.time(when, "episode.event_time"),
        input=values.decode(given.get("input"), "episode.input"),
        output=values.decode(given.get("output"), "episode.output"),
    )


def _episode_document(episode: Episode) -> dict[str, Any]:
    given: Mapping[str, Any] = {
        "type": episode.type.value,
        "event_time": None if episode.event_time is None else values.rfc3339(episode.event_time),
        "session_id": episode.session_id or None,
        "agent_id": episode.agent_id or None,
        "actor": episode.actor or None,
        "input": values.encode(episode.input),
        "output": values.encode(episode.output),
    }
    return {name: each for name, each in given.items() if each is not None}


def _refuse_unknown(names: Collection[str], known: Sequence[str], where: str) -> None:
    unknown = sorted(set(names) - set(known))
    if not unknown:
        return
    near = difflib.get_close_matches(unknown[0], known, 1)
    meant = f"; did you mean {where}{near[0]}?" if near else ""
    said = ", ".join(values.shown(where + name) for name in unknown)
    raise ValueError(f"has the unknown field{'s'[: len(unknown) > 1]} {said}{meant}")
