"""The record: the whole memory as bytes that every later release can read."""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

from google.protobuf.message import DecodeError

from memplane_adapters.contract import Address, EmbeddingIdentity
from memplane_gateway.clock import micros_of
from memplane_gateway.generated.memplane.storage.v1 import record_pb2 as pb
from memplane_gateway.memory.calls.idempotency import TOKENS, KeptTokens
from memplane_gateway.memory.further import FurtherText
from memplane_gateway.memory.model import (
    ABSENT,
    Content,
    Episode,
    IndexedText,
    Operation,
    Outcome,
    Provenance,
    Record,
    WriteToken,
)
from memplane_gateway.memory.shelf import DamagedRecordError
from memplane_gateway.wire.memories import (
    EPISODE_TYPES,
    KINDS,
    write_embedding,
    write_episode,
    write_ref,
)
from memplane_gateway.wire.replies import OUTCOMES
from memplane_gateway.wire.values import read_map, read_time, read_value, write_value
from memplane_gateway.wire.violations import Violations

StoredT = TypeVar("StoredT", pb.Record, pb.FurtherText)

FORMAT = 1
_CHECKSUM_BYTES = 4
_OPERATION_NUMBERS = {
    Operation.PUT: pb.WRITE_OPERATION_PUT,
    Operation.UPDATE: pb.WRITE_OPERATION_UPDATE,
}
_OPERATIONS: dict[int, Operation] = {
    number: operation for operation, number in _OPERATION_NUMBERS.items()
}
_OUTCOMES: dict[int, Outcome] = {number: outcome for outcome, number in OUTCOMES.items()}


class ProtobufRecords:
    """Records as memplane.storage.v1.Record, behind the CRC-32 of its bytes (big-endian)."""

    def encode(self, record: Record) -> bytes:
        """The record as bytes, losslessly."""
        message = pb.Record(
            format=FORMAT,
            tenant=record.address.tenant,
            revision=record.revision,
            create_time_us=record.create_time,
            update_time_us=record.update_time,
            expire_time_us=record.expire_time,
            ttl_us=record.ttl,
            content_hash=record.content_hash,
            embedded_texts=record.embedded_texts,
        )
        write_ref(record.address, message.ref)
        _write_content(record.content, message.content)
        if record.embedding is not None:
            write_embedding(record.embedding, message.embedding)
        provenance = message.provenance
        provenance.principal = record.provenance.principal
        provenance.request_id = record.provenance.request_id
        provenance.source = record.provenance.source
        return _checked(message.SerializeToString() + _encode_tokens(record.tokens))

    def decode(self, data: bytes) -> Record:
        """The record again.

        Raises ValueError when the bytes are none, or of a later format; DamagedRecordError, which
        is one, when they have changed since they were written.
        """
        body = _body(data)
        message = _parsed(pb.Record, body)
        violations = Violations(max_values=sys.maxsize)  # what was let in must come out
        content = _read_content(message.content, violations)
        if violations.noted:
            raise ValueError(f"{violations.noted[0].field}: {violations.noted[0].description}")
        embedding, provenance = message.embedding, message.provenance
        return Record(
            address=_address(message),
            content=content,
            revision=message.revision,
            create_time=message.create_time_us,
            update_time=message.update_time_us,
            expire_time=message.expire_time_us if message.HasField("expire_time_us") else None,
            ttl=message.ttl_us if message.HasField("ttl_us") else None,
            content_hash=message.content_hash,
            embedding=EmbeddingIdentity(
                embedding.provider,
                embedding.model,
                embedding.dimension,
                embedding.metric,
                embedding.normalized,
            )
            if message.HasField("embedding")
            else None,
            provenance=Provenance(provenance.principal, provenance.request_id, provenance.source),
            tokens=_StoredTokens(record=body),
            embedded_texts=tuple(message.embedded_texts),
        )

    def encode_text(self, text: FurtherText) -> bytes:
        """What the point of a further text holds."""
        message = pb.FurtherText(
            format=FORMAT,
            tenant=text.memory.tenant,
            revision=text.revision,
            number=text.number,
            update_time_us=text.update_time,
        )
        write_ref(text.memory, message.ref)
        return _checked(message.SerializeToString())

    def decode_text(self, data: bytes) -> FurtherText:
        """The same again. Raises as `decode`."""
        message = _parsed(pb.FurtherText, _body(data))
        return FurtherText(
            _address(message), message.revision, message.number, message.update_time_us
        )

    def fingerprint(self, content: Content) -> bytes:
        """16 bytes that are equal for equal content.

        BLAKE2b over the deterministic encoding. Another protobuf release may encode otherwise;
        then a put of equal content is an UPDATED once, which costs a write and loses nothing.
        """
        message = pb.Content()
        _write_content(content, message)
        encoded = message.SerializeToString(deterministic=True)
        return hashlib.blake2b(encoded, digest_size=16).digest()


def _checked(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") + body


def _body(data: bytes) -> bytes:
    checksum, body = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != checksum:
        raise DamagedRecordError("the record's checksum is another")
    return body


def _parsed(form: type[StoredT], body: bytes) -> StoredT:
    try:
        message = form.FromString(body)
    except DecodeError as error:
        raise ValueError("the bytes are no record") from error
    if message.format != FORMAT:
        raise ValueError(f"record format {message.format} is not {FORMAT}")
    return message


def _address(message: pb.Record | pb.FurtherText) -> Address:
    ref = message.ref
    kind = KINDS.get(ref.kind)
    if kind is None:
        raise ValueError(f"unknown kind {ref.kind}")
    return Address(message.tenant, kind, tuple(ref.namespace), ref.key)


class _StoredTokens(KeptTokens):
    """Tokens as they are stored, each a WriteToken's bytes; they are read when somebody looks."""

    __slots__ = ("_encoded", "_record")

    def __init__(self, encoded: Sequence[bytes] | None = None, *, record: bytes = b"") -> None:
        """Of a list, or of a whole record, which is taken apart when the first one is asked for."""
        self._encoded = encoded
        self._record = record

    @property
    def encoded(self) -> Sequence[bytes]:
        """Each token's bytes."""
        if self._encoded is None:
            self._encoded = pb.RecordTokens.FromString(self._record).tokens
        return self._encoded

    def of(self, request_id: str) -> Iterable[WriteToken]:
        """Those of one request id, newest first."""
        name = request_id.encode()
        found = [_read_token(each) for each in self.encoded if name in each]
        return [
            token
            for token in reversed(found)
            if token is not None and token.request_id == request_id
        ]

    def since(self, micros: int) -> KeptTokens:
        """Without those of this time or before. They stand in the order of their revisions."""
        first = 0
        for each in self.encoded:
            if micros_of(pb.WriteToken.FromString(each).revision) > micros:
                break
            first += 1
        return _StoredTokens(self.encoded[first:])

    def then(self, made: WriteToken) -> KeptTokens:
        """With one more behind them; the newest that a memory remembers."""
        return _StoredTokens([*self.encoded, _encode_token(made)][-TOKENS:])

    def _tokens(self) -> tuple[WriteToken, ...]:
        read = map(_read_token, self.encoded)
        return tuple(token for token in read if token is not None)

    @overload
    def __getitem__(self, index: int) -> WriteToken: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[WriteToken]: ...

    def __getitem__(self, index: int | slice) -> WriteToken | Sequence[WriteToken]:
        return self._tokens()[index]

    def __iter__(self) -> Iterator[WriteToken]:
        return iter(self._tokens())

    def __len__(self) -> int:
        return len(self._tokens())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._tokens() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._tokens())

    def __repr__(self) -> str:
        return repr(self._tokens())


def _read_token(encoded: bytes) -> WriteToken | None:
    """A token; None for what only a later release has."""
    token = pb.WriteToken.FromString(encoded)
    operation, outcome = _OPERATIONS.get(token.operation), _OUTCOMES.get(token.outcome)
    if operation is None or outcome is None:
        return None
    return WriteToken(
        operation, token.request_id, token.item_index, token.body_hash, token.revision, outcome
    )


def _encode_token(token: WriteToken) -> bytes:
    return pb.WriteToken(
        request_id=token.request_id,
        item_index=token.item_index,
        body_hash=token.body_hash,
        revision=token.revision,
        outcome=OUTCOMES[token.outcome],
        operation=_OPERATION_NUMBERS[token.operation],
    ).SerializeToString()


def _encode_tokens(tokens: Sequence[WriteToken]) -> bytes:
    """The field `tokens` of a record."""
    if isinstance(tokens, _StoredTokens):
        encoded = tokens.encoded
    else:
        encoded = [_encode_token(token) for token in tokens]
    return pb.RecordTokens(tokens=encoded).SerializeToString()


def _write_content(content: Content, message: pb.Content) -> None:
    message.text = content.text
    for name, value in content.attributes.items():
        write_value(value, message.attributes[name])
    if content.value is not ABSENT:
        write_value(content.value, message.value)
    if content.episode is not None:
        message.episode.SetInParent()
        write_episode(content.episode, message.episode)
    if content.importance is not None:
        message.importance = content.importance
    message.pinned = content.pinned
    message.vector_digest = content.vector_digest
    for each in content.indexed_texts:
        message.indexed_texts.add(path=each.path, text=each.text, vector=each.vector_digest)


def _read_content(message: pb.Content, violations: Violations) -> Content:
    episode = None
    if message.HasField("episode"):
        stored = message.episode
        episode = Episode(
            type=EPISODE_TYPES[stored.type],
            event_time=read_time(stored.event_time, "event_time", violations)
            if stored.HasField("event_time")
            else None,
            session_id=stored.session_id,
            agent_id=stored.agent_id,
            actor=stored.actor,
            input=read_value(stored.input, "input", violations, nul=True)
            if stored.HasField("input")
            else ABSENT,
            output=read_value(stored.output, "output", violations, nul=True)
            if stored.HasField("output")
            else ABSENT,
        )
    return Content(
        text=message.text,
        attributes=read_map(message.attributes, "attributes", violations),
        value=read_value(message.value, "value", violations, nul=True)
        if message.HasField("value")
        else ABSENT,
        episode=episode,
        importance=message.importance if message.HasField("importance") else None,
        pinned=message.pinned,
        vector_digest=message.vector_digest,
        indexed_texts=tuple(
            IndexedText(each.path, each.text, each.vector) for each in message.indexed_texts
        ),
    )
