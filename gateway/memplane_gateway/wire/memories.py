"""Memories and what is done to them: messages to domain values and back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.message import Message

from memplane.v1 import durability_pb2, value_pb2
from memplane.v1 import memory_pb2 as pb
from memplane.v1 import memory_service_pb2 as svc
from memplane_adapters.contract import (
    Address,
    Durability,
    EmbeddingIdentity,
    Kind,
    Value,
)
from memplane_gateway import limits
from memplane_gateway.memory.model import (
    ABSENT,
    NEVER,
    Content,
    Episode,
    EpisodeType,
    Expiry,
    Memory,
    Must,
    Precondition,
    Put,
    Removal,
    Update,
)
from memplane_gateway.pacing import paced
from memplane_gateway.wire.texts import read_texts, write_texts
from memplane_gateway.wire.values import (
    read_map,
    read_time,
    read_value,
    write_time,
    write_value,
)
from memplane_gateway.wire.vectors import digest_of, packed, read_vector
from memplane_gateway.wire.violations import Violations

KINDS: dict[int, Kind] = {
    pb.KIND_SEMANTIC: Kind.SEMANTIC,
    pb.KIND_EPISODIC: Kind.EPISODIC,
    pb.KIND_PROCEDURAL: Kind.PROCEDURAL,
}
KIND_NUMBERS: dict[Kind, pb.Kind.ValueType] = {
    Kind.SEMANTIC: pb.KIND_SEMANTIC,
    Kind.EPISODIC: pb.KIND_EPISODIC,
    Kind.PROCEDURAL: pb.KIND_PROCEDURAL,
}
EPISODE_TYPES: dict[int, EpisodeType] = {
    pb.EPISODE_TYPE_UNSPECIFIED: EpisodeType.CUSTOM,
    pb.EPISODE_TYPE_CONVERSATION: EpisodeType.CONVERSATION,
    pb.EPISODE_TYPE_OBSERVATION: EpisodeType.OBSERVATION,
    pb.EPISODE_TYPE_ACTION: EpisodeType.ACTION,
    pb.EPISODE_TYPE_CUSTOM: EpisodeType.CUSTOM,
}
EPISODE_TYPE_NUMBERS: dict[EpisodeType, pb.EpisodeType.ValueType] = {
    EpisodeType.CONVERSATION: pb.EPISODE_TYPE_CONVERSATION,
    EpisodeType.OBSERVATION: pb.EPISODE_TYPE_OBSERVATION,
    EpisodeType.ACTION: pb.EPISODE_TYPE_ACTION,
    EpisodeType.CUSTOM: pb.EPISODE_TYPE_CUSTOM,
}
DURABILITIES: dict[int, Durability] = {
    durability_pb2.DURABILITY_BUFFERED: Durability.BUFFERED,
    durability_pb2.DURABILITY_PROCESS: Durability.PROCESS,
    durability_pb2.DURABILITY_DISK: Durability.DISK,
    durability_pb2.DURABILITY_MANAGED: Durability.MANAGED,
}
_OUTPUT_ONLY = (
    "etag", "revision", "create_time", "update_time", "expire_time", "content_hash", "embedding",
    "provenance", "searchable",
)  # fmt: skip
_MAX_TTL = limits.TTL_YEARS * 365 * 86_400 * 1_000_000
_LAST_INSTANT = 253_402_300_799_999_999


def read_kind(number: int, path: str, violations: Violations) -> Kind:
    """The kind behind an enum number."""
    kind = KINDS.get(number)
    if kind is None:
        violations.add(path, "is missing or unknown; give SEMANTIC, EPISODIC or PROCEDURAL")
        return Kind.SEMANTIC
    return kind


def read_labels(labels: Sequence[str], path: str, violations: Violations) -> tuple[str, ...]:
    """A namespace or a prefix of one."""
    namespace = tuple(labels)
    violations.count(namespace, path, 0, limits.NAMESPACE_LABELS)
    for index, label in enumerate(namespace[: limits.NAMESPACE_LABELS]):
        violations.name(label, f"{path}[{index}]", limits.LABEL_BYTES, what="the label")
    return namespace


def read_ref(
    message: pb.MemoryRef, tenant: str, path: str, violations: Violations, *, minted: str = ""
) -> Address:
    """The address of a ref; `minted` stands in for an empty key."""
    key = message.key or minted
    violations.name(key, f"{path}.key", limits.KEY_BYTES, what="the key")
    return Address(
        tenant,
        read_kind(message.kind, f"{path}.kind", violations),
        read_labels(message.namespace, f"{path}.namespace", violations),
        key,
    )


def read_put(
    message: svc.MemoryPut,
    tenant: str,
    path: str,
    violations: Violations,
    *,
    minted: str,
    replayable: bool,
    now: int,
    index: int,
) -> Put:
    """One memory to write."""
    memory = message.memory
    at = f"{path}.memory"
    violations.begin_memory()
    address = read_ref(memory.ref, tenant, f"{at}.ref", violations, minted=minted)
    for field, _ in memory.ListFields():
        if field.name in _OUTPUT_ONLY:
            violations.add(f"{at}.{field.name}", "is output only; leave it out")
    violations.short(memory.text, f"{at}.text", limits.TEXT_BYTES)
    episode = None
    if memory.HasField("episode"):
        if address.kind is not Kind.EPISODIC:
            violations.add(f"{at}.episode", "only EPISODIC memories have one")
        episode = read_episode(memory.episode, f"{at}.episode", violations)
    vector = None
    if memory.vector:
        if address.kind is Kind.PROCEDURAL:
            violations.add(f"{at}.vector", "PROCEDURAL memories have none")
        vector = read_vector(memory.vector, f"{at}.vector", violations)
    texts, further = read_texts(
        memory.indexed_texts, address.kind, f"{at}.indexed_texts", violations
    )
    content = Content(
        text=memory.text,
        attributes=_read_attributes(memory.attributes, f"{at}.attributes", violations),
        value=read_value(memory.value, f"{at}.value", violations, nul=True)
        if memory.HasField("value")
        else ABSENT,
        episode=episode,
        importance=read_share(memory.importance, f"{at}.importance", violations)
        if memory.HasField("importance")
        else None,
        pinned=memory.pinned,
        vector_digest=digest_of(vector),
        indexed_texts=texts,
    )
    return Put(
        address=address,
        content=content,
        vector=vector,
        further=further,
        expiry=read_expiry(message.expiry, now, f"{path}.expiry", violations)
        if message.HasField("expiry")
        else NEVER,
        precondition=read_precondition(message.precondition, f"{path}.precondition", violations),
        minted=replayable and not memory.ref.key,
        index=index,
    )


def read_update(
    message: svc.MemoryUpdate,
    tenant: str,
    path: str,
    violations: Violations,
    *,
    now: int,
    index: int,
) -> Update:
    """One change to write."""
    violations.begin_memory()
    attributes = _read_attributes(message.attributes, f"{path}.attributes", violations)
    removed = frozenset(message.remove_attributes)
    for name in sorted(removed & attributes.keys()):
        violations.add(f"{path}.remove_attributes[{name[:64]!r}]", "is also set")
    if message.HasField("text"):
        violations.short(message.text, f"{path}.text", limits.TEXT_BYTES)
    address = read_ref(message.ref, tenant, f"{path}.ref", violations)
    texts, further = read_texts(
        message.indexed_texts.texts, address.kind, f"{path}.indexed_texts.texts", violations
    )
    if message.HasField("indexed_texts") and address.kind is Kind.PROCEDURAL and not texts:
        violations.add(f"{path}.indexed_texts", "PROCEDURAL memories have none")
    return Update(
        address=address,
        text=message.text if message.HasField("text") else None,
        set_attributes=attributes,
        remove_attributes=removed,
        value=read_value(message.value, f"{path}.value", violations, nul=True)
        if message.HasField("value")
        else ABSENT,
        importance=read_share(message.importance, f"{path}.importance", violations)
        if message.HasField("importance")
        else None,
        pinned=message.pinned if message.HasField("pinned") else None,
        indexed_texts=texts if message.HasField("indexed_texts") else None,
        further=further,
        expiry=read_expiry(message.expiry, now, f"{path}.expiry", violations)
        if message.HasField("expiry")
        else None,
        precondition=_read_no_absent(message.precondition, f"{path}.precondition", violations),
        index=index,
    )


def read_delete(
    message: svc.MemoryDelete, tenant: str, path: str, violations: Violations
) -> Removal:
    """One memory to delete."""
    return Removal(
        read_ref(message.ref, tenant, f"{path}.ref", violations),
        _read_no_absent(message.precondition, f"{path}.precondition", violations),
    )


def read_episode(message: pb.Episode, path: str, violations: Violations) -> Episode:
    """What an EPISODIC memory has beside its text."""
    episode_type = EPISODE_TYPES.get(message.type)
    if episode_type is None:
        violations.add(f"{path}.type", "is unknown")
    for field in ("session_id", "agent_id", "actor"):
        violations.short(getattr(message, field), f"{path}.{field}", limits.SHORT_STRING_BYTES)
    return Episode(
        type=episode_type or EpisodeType.CUSTOM,
        event_time=read_time(message.event_time, f"{path}.event_time", violations)
        if message.HasField("event_time")
        else None,
        session_id=message.session_id,
        agent_id=message.agent_id,
        actor=message.actor,
        input=read_value(message.input, f"{path}.input", violations, nul=True)
        if message.HasField("input")
        else ABSENT,
        output=read_value(message.output, f"{path}.output", violations, nul=True)
        if message.HasField("output")
        else ABSENT,
    )


def read_expiry(message: svc.Expiry, now: int, path: str, violations: Violations) -> Expiry:
    """From when on a memory is gone."""
    when = message.WhichOneof("when")
    if when is None:
        violations.add(path, "is empty; give ttl or expire_time, or leave it out")
    elif when == "expire_time":
        instant = read_time(message.expire_time, f"{path}.expire_time", violations)
        if instant <= now:
            violations.add(f"{path}.expire_time", "is past")
        return Expiry(expire_time=instant)
    else:
        seconds, nanos = message.ttl.seconds, message.ttl.nanos
        if seconds < 0 or not 0 <= nanos < 10**9:
            violations.add(f"{path}.ttl", "is negative or malformed; 0 means never")
        elif ttl := seconds * 1_000_000 + -(-nanos // 1000):
            return Expiry(ttl=min(ttl, _MAX_TTL, _LAST_INSTANT - now))
    return NEVER


def read_precondition(
    message: svc.Precondition, path: str, violations: Violations
) -> Precondition | None:
    """What must hold; None for nothing."""
    condition = message.WhichOneof("condition")
    if condition is None:
        return None
    if condition == "if_match":
        if not message.if_match:
            violations.add(f"{path}.if_match", "is empty; give the memory's etag")
        return Precondition(Must.MATCH, message.if_match)
    if not getattr(message, condition):
        violations.add(f"{path}.{condition}", "is false; set it to true or leave it out")
    return Precondition(Must(condition))


async def body_hash_of(items: Iterable[Message], *, atomic: bool) -> bytes:
    """BLAKE2b (16 bytes) of all that a call asks for: its items in order, and whether as one."""
    digest = hashlib.blake2b(b"atomic" if atomic else b"", digest_size=16)
    async for item in paced(items):
        encoded = item.SerializeToString(deterministic=True)  # maps come in any order
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.digest()


def write_ref(address: Address, message: pb.MemoryRef) -> None:
    """Set a ref to an address."""
    message.kind = KIND_NUMBERS[address.kind]
    message.namespace.extend(address.namespace)
    message.key = address.key


def write_memory(memory: Memory, message: pb.Memory, *, vectors: bool) -> None:
    """Set a message to a memory."""
    record = memory.record
    content = record.content
    write_ref(record.address, message.ref)
    message.text = content.text
    for name, value in content.attributes.items():
        write_value(value, message.attributes[name])
    if content.value is not ABSENT:
        write_value(content.value, message.value)
    if content.episode is not None:
        write_episode(content.episode, message.episode)
    if content.importance is not None:
        message.importance = content.importance
    message.pinned = content.pinned
    if vectors and memory.vector is not None:
        message.vector = packed(memory.vector)
    write_texts(memory, message, vectors=vectors)
    message.etag = memory.etag
    message.revision = record.revision
    write_time(record.create_time, message.create_time)
    write_time(record.update_time, message.update_time)
    if record.expire_time is not None:
        write_time(record.expire_time, message.expire_time)
    message.content_hash = record.content_hash.hex()
    if record.embedding is not None:
        write_embedding(record.embedding, message.embedding)
    provenance = message.provenance
    provenance.principal = record.provenance.principal
    provenance.request_id = record.provenance.request_id
    provenance.source = record.provenance.source
    message.searchable = memory.searchable


def write_episode(episode: Episode, message: pb.Episode) -> None:
    """Set a message to an episode."""
    message.type = EPISODE_TYPE_NUMBERS[episode.type]
    if episode.event_time is not None:
        write_time(episode.event_time, message.event_time)
    message.session_id = episode.session_id
    message.agent_id = episode.agent_id
    message.actor = episode.actor
    if episode.input is not ABSENT:
        write_value(episode.input, message.input)
    if episode.output is not ABSENT:
        write_value(episode.output, message.output)


def write_embedding(identity: EmbeddingIdentity, message: pb.EmbeddingIdentity) -> None:
    """Set a message to an embedding identity."""
    message.provider = identity.provider
    message.model = identity.model
    message.dimension = identity.dimension
    message.metric = identity.metric
    message.normalized = identity.normalized


def _read_no_absent(
    message: svc.Precondition, path: str, violations: Violations
) -> Precondition | None:
    precondition = read_precondition(message, path, violations)
    if precondition is not None and precondition.must is Must.ABSENT:
        violations.add(f"{path}.if_absent", "only a put takes it")
    return precondition


def _read_attributes(
    entries: Mapping[str, value_pb2.Value], path: str, violations: Violations
) -> dict[str, Value]:
    if len(entries) > limits.ATTRIBUTE_ITEMS:
        violations.add(
            path, f"{len(entries)} names, but at most {limits.ATTRIBUTE_ITEMS} are allowed"
        )
    for name in entries:
        if not name:
            violations.add(path, "an attribute's name is empty")
        elif name.startswith("@"):
            violations.add(f"{path}[{name[:64]!r}]", "names that start with @ are the system's")
        violations.short(name, f"{path}[{name[:64]!r}]", limits.ATTRIBUTE_NAME_BYTES)
    return read_map(entries, path, violations)


def read_share(number: float, path: str, violations: Violations) -> float:
    """A number from 0 to 1."""
    if not 0.0 <= number <= 1.0:
        violations.add(path, "is not between 0 and 1")
    return number
