"""From what callers give to request messages, and how batches are split. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from google.protobuf.message import Message

from memplane import _values, _vectors
from memplane._enums import Durability, EpisodeType, Kind, Mode, Order, coerce, to_wire
from memplane._errors import InvalidArgument
from memplane._filter_dicts import FilterLike, filter_message
from memplane._ids import uuid7
from memplane._inputs import UNSET, Delete, Put, Query, Update
from memplane._models import Episode, IndexedText, Memory, Ref, labels_of
from memplane.v1 import indexed_text_pb2, memory_pb2, memory_service_pb2, namespace_pb2, search_pb2

# A gateway takes 1,000 items a call and 4 MiB a message.
MAX_ITEMS: Final = 1000
MAX_BYTES: Final = 3 * 1024 * 1024
MAX_MEMORY_BYTES: Final = 4 * 1024 * 1024 - 4096
_SHOWN: Final = 64

Namespace = tuple[str, ...]
AnyMessage = TypeVar("AnyMessage", bound=Message)


# What a call that is given a key alone should be instead.
_INSTEAD: Final = {
    "get": "; for what set() wrote: value({key})",
    "put": "; for a value: set({key}, ...); for a text: remember({key})",
    "update": "; for what set() wrote: update('procedural', {key})",
    "delete": "; for what set() wrote: delete('procedural', {key})",
}


def resolve(call: str, namespace: Namespace, ref: Ref | Kind | str, key: str | None) -> Ref:
    """The ref that a caller means: itself, or a kind and a key inside a namespace.

    Args:
        call: The name of the call, for errors.
        namespace: The namespace that is bound.
        ref: A ref, or a kind.
        key: The key beside a kind.

    Raises:
        InvalidArgument: A ref came together with a key, or a key alone.
    """
    if isinstance(ref, Ref):
        if key is not None:
            raise InvalidArgument.at(
                "key", "is already in the ref; give a ref, or a kind and a key"
            )
        return ref
    try:
        kind = coerce(Kind, ref, "kind")
    except InvalidArgument:
        if key is not None or not isinstance(ref, str):
            raise
        shown = repr(ref) if len(ref) <= _SHOWN else "..."
        raise InvalidArgument.at(
            "ref",
            f"give a kind and a key: {call}('semantic', {shown})"
            + _INSTEAD[call].format(key=shown),
        ) from None
    return Ref(kind, namespace, key or "")


def entry_ids(given: Iterable[str]) -> list[str]:
    """Ids of entries of the outbox; a bare string is refused, for it would be taken letter by letter."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidArgument.at("ids", f"must be a sequence of ids, not {given!r}")
    return [_values.text(each, f"ids[{i}]") for i, each in enumerate(given)]


def item(given: object, kinds: type | tuple[type, ...], field: str) -> Any:
    """An item of a batch, if it is of the right class."""
    if not isinstance(given, kinds):
        names = " or ".join(
            each.__name__ for each in (kinds if isinstance(kinds, tuple) else (kinds,))
        )
        raise InvalidArgument.at(field, f"must be {_values.article(names)}, not {given!r}")
    return given


def ref_message(ref: Ref) -> memory_pb2.MemoryRef:
    """A ref as a message."""
    message = memory_pb2.MemoryRef()
    _fill_ref(message, ref)
    return message


def _fill_ref(message: memory_pb2.MemoryRef, ref: Ref) -> None:
    message.kind = to_wire(Kind, ref.kind, "ref.kind")
    message.namespace.extend(ref.namespace)
    message.key = ref.key


def ref_messages(refs: Iterable[Ref]) -> list[memory_pb2.MemoryRef]:
    """Refs as messages."""
    return [ref_message(item(ref, Ref, f"refs[{i}]")) for i, ref in enumerate(refs)]


def put_messages(puts: Iterable[Put | Memory], *, mint: bool) -> list[memory_service_pb2.MemoryPut]:
    """Puts as messages; with `mint`, empty keys become UUIDv7."""
    return [put_message(given, f"puts[{i}]", mint=mint) for i, given in enumerate(puts)]


def put_message(given: Put | Memory, field: str, *, mint: bool) -> memory_service_pb2.MemoryPut:
    """A put as a message; `field` is its place, for errors."""
    item(given, (Put, Memory), field)
    put = Put.of(given) if isinstance(given, Memory) else given
    message = memory_service_pb2.MemoryPut()
    memory, where = message.memory, f"{field}.memory"
    _fill_ref(memory.ref, item(put.ref, Ref, f"{where}.ref"))
    if mint and not put.ref.key:
        memory.ref.key = uuid7()
    memory.text = _values.text(put.text, f"{where}.text")
    if put.attributes:
        for name, value in _values.to_map(put.attributes, f"{where}.attributes").items():
            memory.attributes[name].CopyFrom(value)
    if put.value is not UNSET:
        _values.fill_value(memory.value, put.value, f"{where}.value")
    if put.episode is not None:
        _fill_episode(memory.episode, item(put.episode, Episode, f"{where}.episode"), where)
    if put.importance is not None:
        memory.importance = _values.number(put.importance, f"{where}.importance")
    memory.pinned = _values.flag(put.pinned, f"{where}.pinned")
    if put.vector is not None:
        memory.vector = _vectors.to_bytes(put.vector, f"{where}.vector")
    memory.indexed_texts.extend(_texts(put.indexed_texts, f"{where}.indexed_texts"))
    _fill_expiry(message, put.ttl, put.expire_time, field)
    _fill_precondition(
        message, field, if_match=put.if_match, if_absent=put.if_absent, if_present=put.if_present
    )
    return message


def sized_put(given: Put | Memory, field: str) -> tuple[memory_service_pb2.MemoryPut, int]:
    """A put that fits into a message, and its size there in bytes."""
    message = put_message(given, field, mint=False)
    size = message.ByteSize() + 8  # its tag and length
    if size > MAX_MEMORY_BYTES:
        limit = f"must be at most {MAX_MEMORY_BYTES} bytes as a message, not {size}"
        raise InvalidArgument.at(f"{field}.memory", limit)
    return message, size


def _fill_episode(message: memory_pb2.Episode, episode: Episode, where: str) -> None:
    where = f"{where}.episode"
    message.type = to_wire(EpisodeType, episode.type, f"{where}.type")
    if episode.event_time is not None:
        message.event_time.CopyFrom(_values.timestamp(episode.event_time, f"{where}.event_time"))
    message.session_id = _values.text(episode.session_id, f"{where}.session_id")
    message.agent_id = _values.text(episode.agent_id, f"{where}.agent_id")
    message.actor = _values.text(episode.actor, f"{where}.actor")
    if episode.input is not None:
        message.input.CopyFrom(_values.to_value(episode.input, f"{where}.input"))
    if episode.output is not None:
        message.output.CopyFrom(_values.to_value(episode.output, f"{where}.output"))


def _texts(given: object, where: str) -> list[indexed_text_pb2.IndexedText]:
    if isinstance(given, Mapping):
        given = [
            IndexedText(path, each) if isinstance(each, str) else IndexedText(path, vector=each)
            for path, each in given.items()
        ]
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidArgument.at(where, f"must be texts by their paths, not {given!r}")
    messages = []
    for i, one in enumerate(given):
        at = f"{where}[{i}]"
        text: IndexedText = item(one, IndexedText, at)
        message = indexed_text_pb2.IndexedText(
            path=_values.text(text.path, f"{at}.path"), text=_values.text(text.text, f"{at}.text")
        )
        if text.vector is not None:
            message.vector = _vectors.to_bytes(text.vector, f"{at}.vector")
        messages.append(message)
    return messages


def _fill_expiry(
    message: memory_service_pb2.MemoryPut | memory_service_pb2.MemoryUpdate,
    ttl: timedelta | float | None,
    expire_time: datetime | None,
    field: str,
) -> None:
    where = f"{field}.expiry"
    if ttl is not None and expire_time is not None:
        raise InvalidArgument.at(where, "give ttl or expire_time, not both")
    if ttl is not None:
        message.expiry.ttl.CopyFrom(_values.duration(ttl, f"{where}.ttl"))
        message.expiry.ttl.SetInParent()
    elif expire_time is not None:
        message.expiry.expire_time.CopyFrom(_values.timestamp(expire_time, f"{where}.expire_time"))


def _fill_precondition(
    message: (
        memory_service_pb2.MemoryPut
        | memory_service_pb2.MemoryUpdate
        | memory_service_pb2.MemoryDelete
    ),
    field: str,
    *,
    if_match: str | None,
    if_absent: bool = False,
    if_present: bool = False,
) -> None:
    where = f"{field}.precondition"
    absent = _values.flag(if_absent, f"{where}.if_absent")
    present = _values.flag(if_present, f"{where}.if_present")
    if (if_match is not None) + absent + present > 1:
        raise InvalidArgument.at(where, "give one of if_match, if_absent and if_present")
    if if_match is not None:
        message.precondition.if_match = _values.text(if_match, f"{where}.if_match")
    elif absent:
        message.precondition.if_absent = True
    elif present:
        message.precondition.if_present = True


def update_messages(updates: Iterable[Update]) -> list[memory_service_pb2.MemoryUpdate]:
    """Updates as messages."""
    return [_update(given, f"updates[{i}]") for i, given in enumerate(updates)]


def _update(given: Update, field: str) -> memory_service_pb2.MemoryUpdate:
    update: Update = item(given, Update, field)
    message = memory_service_pb2.MemoryUpdate(
        ref=ref_message(item(update.ref, Ref, f"{field}.ref"))
    )
    if update.text is not None:
        message.text = _values.text(update.text, f"{field}.text")
    if update.attributes:
        for name, value in _values.to_map(update.attributes, f"{field}.attributes").items():
            message.attributes[name].CopyFrom(value)
    message.remove_attributes.extend(
        labels_of(update.remove_attributes, f"{field}.remove_attributes")
    )
    if update.value is not UNSET:
        message.value.CopyFrom(_values.to_value(update.value, f"{field}.value"))
    if update.importance is not None:
        message.importance = _values.number(update.importance, f"{field}.importance")
    if update.pinned is not None:
        message.pinned = _values.flag(update.pinned, f"{field}.pinned")
    if update.indexed_texts is not None:
        texts = _texts(update.indexed_texts, f"{field}.indexed_texts")
        message.indexed_texts.texts.extend(texts)
        message.indexed_texts.SetInParent()
    _fill_expiry(message, update.ttl, update.expire_time, field)
    _fill_precondition(message, field, if_match=update.if_match)
    return message


def delete_messages(deletes: Iterable[Ref | Delete]) -> list[memory_service_pb2.MemoryDelete]:
    """Deletes as messages."""
    messages = []
    for i, given in enumerate(deletes):
        field = f"deletes[{i}]"
        item(given, (Ref, Delete), field)
        delete = Delete(given) if isinstance(given, Ref) else given
        ref = item(delete.ref, Ref, f"{field}.ref")
        message = memory_service_pb2.MemoryDelete(ref=ref_message(ref))
        _fill_precondition(message, field, if_match=delete.if_match, if_present=delete.if_present)
        messages.append(message)
    return messages


def query_message(given: Query | str, namespace: Namespace, field: str) -> search_pb2.SearchQuery:
    """A query as a message."""
    query = Query(given) if isinstance(given, str) else item(given, Query, field)
    if sum(given is not None for given in (query.text, query.vector, query.like)) > 1:
        raise InvalidArgument.at(field, "give one of text, vector and like")
    message = search_pb2.SearchQuery(
        kind=to_wire(Kind, query.kind, f"{field}.kind"),
        mode=to_wire(Mode, query.mode, f"{field}.mode"),
        namespace=namespace
        if query.namespace is None
        else labels_of(query.namespace, f"{field}.namespace"),
        exact_namespace=_values.flag(query.exact_namespace, f"{field}.exact_namespace"),
        filter=filter_message(query.filter, f"{field}.filter"),
        page_size=_values.whole(query.limit, f"{field}.page_size"),
        view=view(query.with_vectors),
        exact=_values.flag(query.exact, f"{field}.exact"),
        importance_weight=_values.number(query.importance_weight, f"{field}.importance_weight"),
        diversity=_values.number(query.diversity, f"{field}.diversity"),
        explain=_values.flag(query.explain, f"{field}.explain"),
        page_token=_values.text(query.page_token, f"{field}.page_token"),
    )
    if query.text is not None:
        message.text = _values.text(query.text, f"{field}.text")
    if query.vector is not None:
        message.vector = _vectors.to_bytes(query.vector, f"{field}.vector")
    if query.like is not None:
        message.like.CopyFrom(ref_message(item(query.like, Ref, f"{field}.like")))
    if query.time_from is not None:
        message.time_from.CopyFrom(_values.timestamp(query.time_from, f"{field}.time_from"))
    if query.time_to is not None:
        message.time_to.CopyFrom(_values.timestamp(query.time_to, f"{field}.time_to"))
    if query.min_relevance is not None:
        message.min_relevance = _values.number(query.min_relevance, f"{field}.min_relevance")
    if query.vector_share is not None:
        message.vector_share = _values.number(query.vector_share, f"{field}.vector_share")
    if query.recency_half_life is not None:
        half_life = _values.duration(query.recency_half_life, f"{field}.recency_half_life")
        message.recency_half_life.CopyFrom(half_life)
    if query.recency_weight is not None:
        message.recency_weight = _values.number(query.recency_weight, f"{field}.recency_weight")
    return message


def list_request(
    kind: Kind | str,
    namespace: Namespace,
    *,
    filter: FilterLike | None,
    order: Order | str,
    descending: bool,
    exact_namespace: bool,
    page_size: int,
    with_vectors: bool,
    consistency_token: str,
) -> memory_service_pb2.ListMemoriesRequest:
    """The request of the first page of a listing."""
    return memory_service_pb2.ListMemoriesRequest(
        kind=to_wire(Kind, kind, "kind"),
        namespace=namespace,
        exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
        filter=filter_message(filter, "filter"),
        order=to_wire(Order, order, "order"),
        descending=_values.flag(descending, "descending"),
        page_size=_values.whole(page_size, "page_size"),
        view=view(with_vectors),
        consistency_token=_values.text(consistency_token, "consistency_token"),
    )


def label_patterns(given: Iterable[str], field: str) -> list[namespace_pb2.LabelPattern]:
    """Patterns of labels: "*" is any label, and a backslash before it makes it a label again."""
    return [
        namespace_pb2.LabelPattern(any=True)
        if label == "*"
        else namespace_pb2.LabelPattern(label=_ESCAPED.sub(r"\1", label))
        for label in labels_of(given, field)
    ]


_ESCAPED: Final = re.compile(r"\A\\(\\*\*)\Z")


def view(with_vectors: bool) -> memory_pb2.MemoryView.ValueType:  # noqa: FBT001 (it is the datum)
    """How much of each memory a reply is to hold."""
    if _values.flag(with_vectors, "with_vectors"):
        return memory_pb2.MEMORY_VIEW_WITH_VECTORS
    return memory_pb2.MEMORY_VIEW_FULL


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What all writes have."""

    min_durability: Durability | str | None
    request_id: str | None
    atomic: bool = False

    def refuse_parts(self) -> None:
        """Refuses to send a batch in parts when it is atomic.

        Raises:
            InvalidArgument: It is.
        """
        if self.atomic:
            limits = f"{MAX_ITEMS} items and {MAX_BYTES} bytes"
            raise InvalidArgument.at("atomic", f"an atomic batch is one call: at most {limits}")

    def request_id_of(self, part: int) -> str:
        """The request id of a part of a batch: each call to the gateway needs one of its own."""
        if self.request_id is None:
            return uuid7()
        given = _values.text(self.request_id, "request_id")
        return f"{given}.{part}" if part else given

    def durability(self) -> Any:
        """The number of the level that is asked for; 0 means whatever the route reaches."""
        return durability_number(self.min_durability)


def durability_number(given: Durability | str | None) -> Any:
    """The number of a level that is asked for; 0 where none is."""
    return 0 if given is None else to_wire(Durability, given, "min_durability")


@dataclass(frozen=True, slots=True)
class Part(Generic[AnyMessage]):
    """A piece of a batch that fits into one call."""

    start: int
    items: Sequence[AnyMessage]


def split(
    items: Sequence[AnyMessage], max_items: int = MAX_ITEMS, max_bytes: int = MAX_BYTES
) -> list[Part[AnyMessage]]:
    """Cuts a batch into parts of at most `max_items` and about `max_bytes`.

    An item that is larger by itself gets a part of its own: only the gateway knows its limit.
    """
    parts: list[Part[AnyMessage]] = []
    start = size = 0
    for i, each in enumerate(items):
        bytes_ = each.ByteSize() + 8  # its tag and length
        if i > start and (i - start >= max_items or size + bytes_ > max_bytes):
            parts.append(Part(start, items[start:i]))
            start, size = i, 0
        size += bytes_
    if start < len(items):
        parts.append(Part(start, items[start:]))
    return parts


def refuse_twice(refs: Iterable[memory_pb2.MemoryRef], field: str) -> None:
    """Refuses a ref that stands twice in a batch that is split: no single call would show it.

    Raises:
        InvalidArgument: The same ref stands twice.
    """
    seen: dict[bytes, int] = {}
    for i, ref in enumerate(refs):
        if not ref.key:
            continue
        first = seen.setdefault(ref.SerializeToString(deterministic=True), i)
        if first != i:
            raise InvalidArgument.at(f"{field}[{i}]", f"has the same ref as {field}[{first}]")


@dataclass(frozen=True, slots=True)
class WriteCall:
    """One of the three calls that write batches; they differ only in names and types."""

    method: str
    field: str
    request_type: Any
    response_type: Any

    def request(self, items: Sequence[Message], options: WriteOptions, part: int) -> Any:
        """The request of one part."""
        request = self.request_type(
            **{self.field: items},
            request_id=options.request_id_of(part),
            min_durability=options.durability(),
        )
        if _values.flag(options.atomic, "atomic"):
            request.atomic = True
        return request

    def refs(self, items: Iterable[Any]) -> list[memory_pb2.MemoryRef]:
        """The refs of items."""
        return [each.memory.ref if self.field == "puts" else each.ref for each in items]


PUT: Final = WriteCall(
    "PutMemories",
    "puts",
    memory_service_pb2.PutMemoriesRequest,
    memory_service_pb2.PutMemoriesResponse,
)
UPDATE: Final = WriteCall(
    "UpdateMemories",
    "updates",
    memory_service_pb2.UpdateMemoriesRequest,
    memory_service_pb2.UpdateMemoriesResponse,
)
DELETE: Final = WriteCall(
    "DeleteMemories",
    "deletes",
    memory_service_pb2.DeleteMemoriesRequest,
    memory_service_pb2.DeleteMemoriesResponse,
)
