"""What `memplane ingest` reads, without a gateway: every format, and what is refused in it."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given

from memplane import Kind
from memplane_gateway.cli.formats import json_lines, reading, source, values
from memplane_gateway.cli.formats.entries import Entry, FormatError, Found, Into, Problem
from memplane_gateway.cli.formats.reading import Format, Reading
from memplane_gateway.cli.formats.source import Source

from .strategies import VALUES, puts, told, typed

INTO = Into(Kind.SEMANTIC, ("top",), "name", datetime(2026, 1, 1, tzinfo=UTC))
TURNS = [
    {"speaker": "Ann", "dia_id": "D1:1", "text": "Look", "blip_caption": "a greyhound"},
    {"speaker": "Bob", "dia_id": "D1:2", "text": "Nice"},
]
SAMPLE = {
    "speaker_a": "Ann",
    "session_10_date_time": "9:05 am on 2 June, 2023",
    "session_10": [{"speaker": "Ann", "dia_id": "D10:1", "text": "Later"}],
    "session_1_date_time": "1:56 pm on 8 May, 2023",
    "session_1": TURNS,
    "qa": [],
}
TALK = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}


def lines(*given: Any) -> bytes:
    """JSON Lines."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in given)


def read(data: bytes, form: Format | None = None) -> Reading:
    return reading.read(Source(io.BytesIO(data)), form, INTO)


def all_of(data: bytes, form: Format | None = None) -> list[Entry]:
    return list(read(data, form).entries)


def found(entries: list[Entry]) -> list[Found]:
    assert not [entry for entry in entries if isinstance(entry, Problem)]
    return cast("list[Found]", entries)


# --- JSON Lines -------------------------------------------------------------------------------


@given(VALUES)
def test_values_lose_nothing(value: Any) -> None:
    text = json.dumps(values.encode(value), allow_nan=False)
    assert typed(values.decode(values.loads(text), "value")) == typed(value)


@given(puts(Kind.EPISODIC, ("top",)) | puts(Kind.SEMANTIC, ("top",)))
def test_a_memory_comes_back_from_its_line(put: Any) -> None:
    ((_, again),) = found(all_of(lines(json_lines.document_of(put, ("top",)))))
    assert told(again) == told(put)


def test_vectors_of_texts_stay_with_them() -> None:
    texts = [{"path": "q", "text": "tea"}, {"path": "v", "vector": [0.5, 0.25]}]
    (entry,) = found(all_of(lines({"text": "t", "indexed_texts": texts})))
    assert json_lines.document_of(entry.put)["indexed_texts"] == texts


def test_what_stands_in_a_line() -> None:
    data = lines(
        "Prefers tea",
        {"kind": "procedural", "namespace": ["a"], "key": "k", "value": None, "ttl": "1h"},
        {"text": "x", "vector": [0.5, 1], "importance": 1, "pinned": True, "episode": None},
    )
    first, second, third = (entry.put for entry in found(all_of(b"\xef\xbb\xbf" + data)))
    assert (first.text, first.ref.kind, first.ref.namespace) == (
        "Prefers tea",
        "semantic",
        ("top",),
    )
    assert (second.ref.namespace, second.value, second.ttl) == (("top", "a"), None, 3600)
    assert (third.vector, third.importance, third.pinned) == ([0.5, 1], 1, True)


def test_what_a_listing_prints_is_taken() -> None:
    only_read = {"etag": "e", "revision": 7, "create_time": "x", "update_time": "x"}
    only_read |= {"content_hash": "", "embedding": None, "provenance": {}, "searchable": True}
    data = lines({"kind": "semantic", "key": "k", "text": "t", "importance": None, **only_read})
    assert found(all_of(data))[0].put.text == "t"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "is not JSON: Expecting value at column 1"),
        ('{"text": "\xff"}', "is not UTF-8 at byte 10"),
        ('{"text": "a", "text": "b"}', 'has the name "text" twice in one object'),
        ('{"txt": "a"}', 'has the unknown field "txt"; did you mean text?'),
        ('{"text": "a", "x": 1, "y": 2}', 'has the unknown fields "x", "y"'),
        ('{"text": "a", "episode": {"actr": "b"}}', 'field "episode.actr"; did you mean episode.actor?'),
        ("[1, 2]", "must be an object or a string, not [1, 2]"),
        ('{"key": "k"}', "has none of text, attributes, value, vector, indexed_texts"),
        ('{"text": 7}', "text: must be a str"),
        ('{"text": "a", "kind": "odd"}', "ref.kind: must be one of semantic, episodic, procedural"),
        ('{"text": "a", "namespace": "b"}', 'namespace: must be a list of labels, not "b"'),
        ('{"text": "a", "namespace": [1]}', "namespace"),
        ('{"text": "a", "attributes": []}', "attributes: must be an object, not []"),
        ('{"value": NaN}', "is not JSON: NaN"),
        ('{"value": 1e999}', "value: is inf"),
        ('{"value": 9223372036854775808}', "value: is an int outside -2^63 to 2^63-1"),
        ('{"value": "\\ud800"}', "value: has a lone surrogate"),
        ('{"value": {"$bytes": "?"}}', 'value.$bytes: must be base64, not "?"'),
        ('{"value": {"$time": "2026-01-01"}}', "value.$time: must be a time with its zone"),
        ('{"value": {"$time": "2026-02-30T00:00:00Z"}}', "value.$time: must be a time"),
        ('{"value": {"$map": 1}}', "value.$map: must be an object, not 1"),
        ('{"text": "a", "expire_time": "2026-01-01T00:00:00"}', "expire_time: must be a time with"),
        ('{"text": "a", "ttl": "soon"}', "ttl: expected seconds, or 90s"),
        ('{"text": "a", "importance": "high"}', "importance: must be a number"),
        ('{"text": "a", "pinned": 1}', "pinned: must be a bool"),
        ('{"text": "a", "vector": []}', "vector: is empty"),
        ('{"text": "a", "vector": ["b"]}', "vector"),
        ('{"text": "a", "indexed_texts": [{"pth": "q"}]}', "did you mean indexed_texts[0].path?"),
        ('{"text": "a", "episode": {"type": "odd"}}', "episode.type: must be one of"),
        ('{"value": ' + "[" * 40 + "]" * 40 + "}", "nest deeper than 32"),
        ('{"value": ' + "[" * 100_000, "nests too deeply"),
        ('{"text": "a", "ttl": ' + "9" * 400 + "}", "ttl: is longer than any number"),
        ('{"text": "a", "ttl": "' + "9" * 400 + 'd"}', "expiry.ttl: must be finite"),
        ('{"text": "a", "ttl": ' + "9" * 5_000 + "}", "holds a number of 5,000 digits"),
        ('{"text": "a", "\\ud800": 1}', 'has the unknown field "\\ud800"'),
        ('{"text": "' + "a" * 5_000_000 + '"}', "must be at most"),
    ],
    ids=range(36),
)  # fmt: skip
def test_what_is_no_memory_is_refused_by_its_line(line: str, said: str) -> None:
    data = b'"one"\n\n' + line.encode("latin-1") + b"\n" + b'"two"\n'
    first, problem, last = all_of(data)
    assert isinstance(first, Found)
    assert isinstance(problem, Problem)
    assert problem.where == "line 3"
    assert said in problem.reason
    assert isinstance(last, Found)
    assert last.where == "line 4"


def test_lines_are_read_as_they_are_asked_for() -> None:
    taken = 0

    class Endless(io.RawIOBase):
        def readline(self, size: int | None = -1) -> bytes:
            nonlocal taken
            taken += 1
            return b'"again"\n'

    entries = reading.read(Source(cast("BinaryIO", Endless())), None, INTO).entries
    for _ in range(5):
        assert isinstance(next(entries), Found)
    assert taken <= 6


def test_empty_lines_are_counted_and_not_kept() -> None:
    blank = 20_000
    for data, where in (
        (b"\n" * blank + b'"a"\n \n"b"\n', [f"line {blank + 1}", f"line {blank + 3}"]),
        (b'"a"\n' + b"\n" * blank + b'"b"', ["line 1", f"line {blank + 2}"]),
        (b"\n" * blank, []),
    ):
        given = Source(io.BytesIO(data))
        tracemalloc.start()
        try:
            assert len(given.first_lines(2)) == len(where)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 100_000, "each line that is kept takes more than 100 bytes"
        assert [entry.where for entry in json_lines.read(given.lines(), INTO)] == where
    with pytest.raises(FormatError, match="at line 3 at column"):
        read(b"\n{\n x}", Format.LOCOMO)
    assert found(all_of(b"\n\n[\n\n" + lines(TALK) + b"]"))[0].where == "conversation 1, message 1"


def test_a_line_without_an_end_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (source, json_lines):
        monkeypatch.setattr(module, "LONGEST_LINE", 64)
    long = b'"' + b"a" * 3_000_000 + b'"\n'
    given = Source(io.BytesIO(b'"one"\n' + long + b'"two"\n'))
    first, problem, last = json_lines.read(given.lines(), INTO)
    assert isinstance(problem, Problem)
    assert problem.where == "line 2"
    assert [first[0], last[0]] == ["line 1", "line 3"]
    assert given.position == len(long) + 12


# --- which format -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "form", "count"),
    [
        (b"", Format.JSONL, 0),
        (b"\n\n", Format.JSONL, 0),
        (lines("a", "b"), Format.JSONL, 2),
        (lines({"text": "a"}), Format.JSONL, 1),
        (b'{"text": "cut\n"b"\n', Format.JSONL, 2),
        (lines(TALK), Format.CHAT, 2),
        (lines(TALK, TALK), Format.CHAT, 4),
        (lines(TALK["messages"], TALK["messages"]), Format.CHAT, 4),
        (json.dumps(TALK, indent=1).encode(), Format.CHAT, 2),
        (json.dumps(TALK["messages"], indent=1).encode(), Format.CHAT, 2),
        (json.dumps([TALK, TALK], indent=1).encode(), Format.CHAT, 4),
        (json.dumps(SAMPLE).encode(), Format.LOCOMO, 3),
        (json.dumps(SAMPLE, indent=1).encode(), Format.LOCOMO, 3),
        (json.dumps([{"conversation": SAMPLE}]).encode(), Format.LOCOMO, 3),
    ],
)
def test_the_format_is_found_by_content(data: bytes, form: Format, count: int) -> None:
    known = read(data)
    assert known.format is form
    assert len(list(known.entries)) == count


@pytest.mark.parametrize(
    ("data", "form", "said"),
    [
        (b'{\n"text": "a"\n}\n', None, "one JSON document and neither a chat nor LoCoMo"),
        (b'[\n{"text": "a"}\n]\n', None, "one JSON document"),
        (b"{\n", Format.LOCOMO, "it is not JSON"),
        (b"[" * 100_000, Format.LOCOMO, "^it nests too deeply$"),
        (b"", Format.CHAT, "it is not JSON"),
    ],
)
def test_a_file_in_no_format_is_refused(data: bytes, form: Format | None, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        read(data, form)


# --- chats ------------------------------------------------------------------------------------


def turns(*messages: Any, **about: Any) -> list[Entry]:
    return all_of(lines({**about, "messages": messages}), Format.CHAT)


def test_turns_of_a_chat() -> None:
    entries = found(
        turns(
            {"role": "system", "content": "Be kind"},
            {"role": "user", "content": "Hi", "name": "Ada"},
        )
    )
    first, second = (entry.put for entry in entries)
    assert [entry.where for entry in entries] == ["message 1", "message 2"]
    assert (first.ref.kind, first.ref.namespace, first.ref.key) == ("episodic", ("top",), "")
    assert first.attributes == {"role": "system", "turn": 1}
    assert first.episode is not None
    assert second.episode is not None
    assert (first.episode.type, first.episode.actor) == ("conversation", "system")
    assert (second.episode.session_id, second.episode.actor) == ("name", "Ada")
    assert second.attributes == {"role": "user", "turn": 2}


def test_times_of_turns_keep_the_order_and_come_again() -> None:
    def times(*messages: dict[str, Any], **about: Any) -> list[str]:
        given = [{"role": "user", "content": "x", **each} for each in messages]
        episodes = [entry.put.episode for entry in found(turns(*given, **about))]
        return [values.rfc3339(e.event_time)[5:] for e in episodes if e and e.event_time]

    assert times({}, {}) == ["01-01T00:00:00.000001Z", "01-01T00:00:00.000002Z"]
    assert times({}, {"created_at": "2026-03-01T00:00:00+01:00"}, {}) == [
        "01-01T00:00:00.000001Z", "02-28T23:00:00Z", "02-28T23:00:00.000001Z",
    ]  # fmt: skip
    assert times({"create_time": 1767225600.5}, {"timestamp": 1767225600500}) == [
        "01-01T00:00:00.500000Z", "01-01T00:00:00.500000Z",
    ]  # fmt: skip
    assert times({}, created_at=1769904000) == ["02-01T00:00:00.000001Z"]


def test_conversations_are_named() -> None:
    def names(data: bytes) -> list[tuple[str, str]]:
        entries = [entry.put for entry in found(all_of(data))]
        return [(put.episode.session_id, put.ref.key) for put in entries if put.episode]

    one = {"messages": TALK["messages"][:1]}
    assert names(lines(one)) == [("name", "")]
    assert names(lines(one, {**one, "id": "c7"})) == [("name-1", ""), ("c7", "c7/00001")]
    twice = {**one, "id": "c"}
    assert names(lines(twice, twice)) == [("c", "c/00001"), ("c", "")], "none overwrites another"
    assert names(lines([one, {**one, "thread_id": 7}])) == [("name-1", ""), ("7", "7/00001")]


def test_calls_of_tools_are_actions_and_their_results_observations() -> None:
    call = {"id": "call-1", "type": "function"}
    call["function"] = {"name": "weather", "arguments": '{"city": "Oslo", "n": 9007199254740993}'}  # type: ignore[assignment]
    entries = found(
        turns(
            {"role": "assistant", "content": "Let me see", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call-1", "content": '{"sky": "clear"}'},
            {"role": "tool", "tool_call_id": "call-1", "content": "no JSON"},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{"},
            },
            id="c",
        )
    )
    said, did, saw, text, old = (entry.put for entry in entries)
    assert [entry.where for entry in entries][:2] == ["message 1, part 1", "message 1, part 2"]
    assert [each.ref.key for each in (said, did, saw)] == ["c/00001", "c/00001/1", "c/00002"]
    assert did.text == 'weather({"city": "Oslo", "n": 9007199254740993})'
    assert did.attributes == {
        "role": "assistant", "turn": 1, "tool": "weather", "tool_call_id": "call-1",
    }  # fmt: skip
    assert did.episode is not None
    assert saw.episode is not None
    assert text.episode is not None
    assert old.episode is not None
    assert (did.episode.type, did.episode.input) == (
        "action", {"city": "Oslo", "n": 9007199254740993},
    )  # fmt: skip
    assert (saw.episode.type, saw.episode.actor) == ("observation", "weather")
    assert (saw.episode.output, text.episode.output) == ({"sky": "clear"}, "no JSON")
    assert (old.episode.type, old.episode.input) == ("action", "{")


def test_parts_of_a_message() -> None:
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {}}, "here"]
    (entry,) = found(turns({"role": "user", "content": parts}))
    assert entry.put.text == "Look\nhere"
    assert entry.put.attributes == {"role": "user", "turn": 1, "other_parts": ["image_url"]}
    (entry,) = found(turns({"role": "assistant", "refusal": "No."}))
    assert (entry.put.text, (entry.put.attributes or {})["refusal"]) == ("No.", True)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Hi", 'must be an object, not "Hi"'),
        ({"content": "Hi"}, "role: must be one of system, developer, user"),
        ({"role": "user"}, "has neither content nor calls of tools"),
        ({"role": "user", "content": 7}, "content: must be a string or a list, not 7"),
        ({"role": "user", "content": [7]}, "content[0]: must be an object, not 7"),
        ({"role": "user", "content": "x", "created_at": "noon"}, "created_at: must be a time"),
        ({"role": "user", "content": "x", "created_at": 1e300}, "created_at: 1e+300 is no time"),
        ({"role": "user", "content": "x", "created_at": 10**400}, "0... is no time"),
        ({"role": "assistant", "tool_calls": [{}]}, "tool_calls[0].function: must be an object"),
        ({"role": "user", "content": "\ud800"}, "text: has a lone surrogate"),
    ],
)
def test_what_is_no_turn_is_refused_by_its_place(message: Any, said: str) -> None:
    good = {"role": "user", "content": "Hi"}
    data = lines({"messages": [good]}, {"messages": [good, message, good]}, {"other": 1})
    *_, before, problem, after, last = all_of(data)
    assert isinstance(problem, Problem)
    assert problem.where == "line 2, message 2"
    assert said in problem.reason
    assert (before[0], after[0]) == ("line 2, message 1", "line 2, message 3")
    assert isinstance(last, Problem)
    assert last.where == "line 3"


def test_a_turn_after_the_end_of_time_is_refused() -> None:
    last = {"role": "user", "content": "x", "created_at": "9999-12-31T23:59:59.999999Z"}
    after = {"role": "user", "content": "y"}
    first, problem, third = turns(last, after, {**last, "created_at": "2026-01-01T00:00:00Z"})
    assert isinstance(first, Found)
    assert isinstance(problem, Problem)
    assert problem.where == "message 2"
    assert problem.reason.startswith("holds a number or a time that is out of range")
    assert isinstance(third, Found)
    (its_time, turn) = turns(after, created_at=10**400)
    assert (its_time.where, turn.where) == ("its time", "message 1")


# --- LoCoMo -----------------------------------------------------------------------------------


def test_turns_of_locomo() -> None:
    entries = found(all_of(json.dumps(SAMPLE).encode()))
    first, second, last = (entry.put for entry in entries)
    assert (first.ref.kind, first.ref.namespace, first.ref.key) == (
        "episodic", ("top", "name"), "D1:1",
    )  # fmt: skip
    assert first.text == "Ann: Look"
    assert first.attributes == {"image_caption": "a greyhound"}
    assert second.attributes is None
    assert second.episode is not None
    assert (second.episode.session_id, second.episode.actor) == ("session_1", "Bob")
    assert second.episode.event_time == datetime(2023, 5, 8, 13, 56, 1, tzinfo=UTC)
    assert last.ref.key == "D10:1", "sessions go by their number"


def test_samples_have_namespaces_of_their_own() -> None:
    samples = [{"sample_id": "conv-26", "conversation": SAMPLE}, {"conversation": SAMPLE}]
    entries = found(all_of(json.dumps(samples).encode()))
    assert [entry.put.ref.namespace[1] for entry in entries[::3]] == ["conv-26", "name-2"]


def test_turns_of_locomo_do_not_overwrite_one_another() -> None:
    again = {**SAMPLE, "session_10": [{"speaker": "Ann", "dia_id": "D1:1", "text": "Again"}]}
    samples = [{"sample_id": 1, "conversation": again}, {"sample_id": "1", "conversation": SAMPLE}]
    *first, turn, sample = all_of(json.dumps(samples).encode())
    assert len(found(first)) == 2
    assert turn == Problem("1, session_10, turn 1", "has the dia_id of a turn before it: D1:1")
    assert sample == Problem("1", "has the sample_id of a sample before it")


def test_what_is_no_turn_of_locomo_is_refused_by_its_place() -> None:
    broken = {**SAMPLE, "session_1": [{"speaker": "Ann", "text": "x"}, 7, TURNS[1]]}
    broken["session_2_date_time"] = SAMPLE["session_1_date_time"]
    broken["session_2"] = [{**TURNS[0], "text": None}]
    broken["session_10_date_time"] = "yesterday"
    entries = all_of(json.dumps([broken, {"sample_id": "s"}]).encode(), Format.LOCOMO)
    problems = [entry for entry in entries if isinstance(entry, Problem)]
    assert problems == [
        Problem("name-1, session_1, turn 1", "has no dia_id"),
        Problem("name-1, session_1, turn 2", "must be an object, not 7"),
        Problem("name-1, session_2, turn 1", "text: must be a string, not null"),
        Problem(
            "name-1, session_10", 'session_10_date_time: must be like "1:56 pm on 8 May, 2023"'
        ),
        Problem("s", "is no conversation: it has no session_1"),
    ]
    assert len(entries) == 6


def test_locomo_at_the_end_of_time_and_with_a_session_of_many_digits() -> None:
    many = [{**TURNS[0], "dia_id": f"D1:{number}"} for number in range(70)]
    late = {"session_1_date_time": "11:59 pm on 31 December, 9999", "session_1": many}
    *_, before, problem = all_of(json.dumps(late).encode())[:61]
    assert isinstance(before, Found)
    assert isinstance(problem, Problem)
    assert problem.where == "name, session_1, turn 61"
    long = {**SAMPLE, f"session_{'9' * 5_000}": []}
    *turns, problem = all_of(json.dumps(long).encode())
    assert len(found(turns)) == 3
    assert isinstance(problem, Problem)
    assert "_date_time: must be like" in problem.reason


# --- whatever stands there --------------------------------------------------------------------

ODD = ["", "\ud800", -1, 10**400, 1e300, True, [], [[]], {"a": 1}, "9999-12-31T23:59:59.999999Z"]
"""With null, of every shape and beyond every limit."""
SHAPES: list[tuple[Format, Any]] = [
    (
        Format.JSONL,
        {
            "kind": "episodic", "namespace": ["a"], "key": "k", "text": "t", "attributes": {"a": 1},
            "value": {"$time": "x"}, "importance": 1, "pinned": True, "ttl": 1, "expire_time": "x",
            "vector": [1], "indexed_texts": [{"path": "p", "text": "t", "vector": [1]}],
            "episode": {"type": "custom", "event_time": "x", "session_id": "s", "input": 1},
            "embedding": {"provider": "hash"},
        },
    ),
    (
        Format.CHAT,
        {
            "id": "a", "created_at": 1,
            "messages": [
                {"role": "assistant", "content": [{"type": "text", "text": "t"}], "name": "n",
                 "timestamp": 1, "refusal": "r", "function_call": {"name": "f", "arguments": "1"},
                 "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "1"}}]},
                {"role": "tool", "content": "t", "tool_call_id": "c"},
            ],
        },
    ),
    (Format.LOCOMO, [{"sample_id": "s", "conversation": SAMPLE}]),
]  # fmt: skip


def with_each_replaced(given: Any, by: Any) -> Iterator[Any]:
    """Copies of a document in each of which one place holds something else."""
    places = given.items() if isinstance(given, dict) else enumerate(given)
    for place, held in list(places):
        for other in (by, *(with_each_replaced(held, by) if isinstance(held, dict | list) else ())):
            copy = given.copy()
            copy[place] = other
            yield copy


@pytest.mark.parametrize(("form", "shape"), SHAPES, ids=[form.value for form, _ in SHAPES])
def test_whatever_stands_in_a_place_it_is_read_or_refused(form: Format, shape: Any) -> None:
    for odd in (None, *ODD):
        for document in with_each_replaced(shape, odd):
            data = lines(document) if form is Format.LOCOMO else lines(document, document)
            for entry in (*all_of(data, form), *all_of(data)):
                assert isinstance(entry, Found) or entry.reason
