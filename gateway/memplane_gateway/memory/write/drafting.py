"""What a put or an update makes of what is there: pure functions from the old row to the new one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final

from memplane_adapters.contract import EmbeddingIdentity, Kind, Value, Vector
from memplane_gateway.clock import Clock
from memplane_gateway.errors import Code, MemplaneError, Reason, Violation, invalid
from memplane_gateway.limits import ATTRIBUTE_ITEMS, MEMORY_BYTES, VALUE_ITEMS
from memplane_gateway.memory.calls.idempotency import Mark
from memplane_gateway.memory.model import (
    ABSENT,
    Content,
    Episode,
    Expiry,
    FurtherVectors,
    Outcome,
    Provenance,
    Put,
    Record,
    Update,
)
from memplane_gateway.memory.shelf import Row, RowWrite, alive_row, etag_of

Fingerprint = Callable[[Content], bytes]

_REFUSED: Final = (
    "the embedder does not take this text, most likely because it is too long; shorten it"
)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The write would change nothing."""

    row: Row


@dataclass(frozen=True, slots=True)
class Vectors:
    """All vectors of a memory, and what made them; None is what it has not."""

    own: Vector | None
    further: FurtherVectors
    identity: EmbeddingIdentity | None

    @property
    def places(self) -> tuple[int, ...]:
        """The places of the further texts that have one."""
        return tuple(number for number, each in enumerate(self.further) if each is not None)


@dataclass(frozen=True, slots=True)
class Draft:
    """A row as it is to become; `embed` says that the text still needs its vector."""

    content: Content
    vector: Vector | None
    embed: bool
    embedding: EmbeddingIdentity | None
    further: FurtherVectors
    """Those of its further texts that are known."""
    embed_texts: frozenset[int]
    """The places of the further texts that still need theirs."""
    expiry: Expiry | None
    """None: that of the row it replaces."""
    found: Row | None
    alive: bool
    """Whether `found` has not expired."""
    content_hash: bytes | None = None
    """Of `content`, where it had to be known already."""

    @property
    def outcome(self) -> Outcome:
        """What writing it will have done."""
        return Outcome.UPDATED if self.alive else Outcome.CREATED

    @property
    def texts_to_embed(self) -> list[str]:
        """The texts that still need their vectors."""
        further = [self.content.indexed_texts[number].text for number in self.embed_texts]
        return [self.content.text, *further] if self.embed else further

    def refusal(self, item: Put | Update, refused: Collection[str]) -> MemplaneError | None:
        """INVALID_ARGUMENT that names the texts that the embedder does not take; None: it takes all."""
        violations = list(_refused(self, item, refused)) if refused else []
        return invalid(violations) if violations else None

    def finished(
        self,
        item: Put | Update,
        stamp: Stamp,
        vectors: Vectors,
    ) -> RowWrite:
        """The row to write, now that its vectors and its time are known."""
        before = self.found.record if self.found is not None else None
        update_time = max(stamp.now, before.update_time) if before else stamp.now
        content = _with_event_time(self.content, update_time)
        expire_time, ttl = _expires(self.expiry, before, update_time)
        content_hash = self.content_hash if content is self.content else None
        revision = stamp.clock.revision(before.revision if before else 0)
        record = Record(
            address=item.address,
            content=content,
            revision=revision,
            create_time=before.create_time if before and self.alive else update_time,
            update_time=update_time,
            expire_time=expire_time,
            ttl=ttl,
            content_hash=content_hash or stamp.fingerprint(content),
            embedding=vectors.identity,
            provenance=stamp.provenance,
            tokens=stamp.mark.tokens_after(before, item.index, revision, self.outcome, stamp.now),
            embedded_texts=vectors.places,
        )
        row = Row(record, vectors.own, further=vectors.further)
        return RowWrite(row, before.revision if before else 0, before)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a round of writes puts on all its rows."""

    now: int
    clock: Clock
    fingerprint: Fingerprint
    provenance: Provenance
    mark: Mark


def draft_put(
    put: Put, found: Row | None, now: int, fingerprint: Fingerprint
) -> Draft | Unchanged | MemplaneError:
    """A whole memory over what is there. `found` may have expired; then it counts as missing."""
    alive = alive_row(found, now)
    content = put.content
    if put.address.kind is Kind.EPISODIC:
        content = replace(content, episode=content.episode or Episode())
    content_hash = None
    if alive is not None:
        old = alive.record
        as_before = _at_event_time(content, old.content)
        as_before_hash = fingerprint(as_before)
        same = as_before_hash == old.content_hash
        if same and put.expiry.at(now) == old.expire_time:
            return Unchanged(alive)
        if same:
            content = as_before
        elif put.minted:
            # Its key was made of the request id, so this is the same call with another body.
            return MemplaneError(
                Code.ALREADY_EXISTS,
                Reason.MEMORY_EXISTS,
                "this request id has already made another memory; mint a new one for each call",
                metadata={"etag": etag_of(old)},
            )
        content_hash = as_before_hash if content is as_before else None
    given = Vectors(put.vector, put.further, None)
    return _draft(content, given, put.expiry, found, alive, content_hash=content_hash)


def draft_update(
    update: Update, found: Row, now: int, fingerprint: Fingerprint
) -> Draft | Unchanged | MemplaneError:
    """Parts of a memory over what is there, which is alive."""
    old = found.record
    content = old.content
    attributes: dict[str, Value] = {
        name: value
        for name, value in content.attributes.items()
        if name not in update.remove_attributes
    }
    attributes.update(update.set_attributes)
    if len(attributes) > ATTRIBUTE_ITEMS:
        both = f"{len(attributes)} with those that are there, but at most {ATTRIBUTE_ITEMS}"
        return invalid([Violation("attributes", f"{both} are allowed")])
    new_text = update.text is not None and update.text != content.text
    content = replace(
        content,
        text=content.text if update.text is None else update.text,
        attributes=attributes,
        value=content.value if update.value is ABSENT else update.value,
        importance=content.importance if update.importance is None else update.importance,
        pinned=content.pinned if update.pinned is None else update.pinned,
        vector_digest=b"" if new_text else content.vector_digest,
        indexed_texts=content.indexed_texts
        if update.indexed_texts is None
        else update.indexed_texts,
    )
    too_large = _too_large(content)
    if too_large is not None:
        return too_large
    given = Vectors(
        found.vector if content.client_vector else None,
        found.further if update.indexed_texts is None else update.further,
        None,
    )
    same_expiry = _expires(update.expiry, old, now)[0] == old.expire_time
    content_hash = fingerprint(content)
    if same_expiry and content_hash == old.content_hash:
        return Unchanged(found)
    return _draft(content, given, update.expiry, found, found, content_hash=content_hash)


def _expires(
    expiry: Expiry | None, before: Record | None, now: int
) -> tuple[int | None, int | None]:
    """When what is written now over a row expires, and its period."""
    if expiry is not None and not expiry.prolongs:
        return expiry.at(now), expiry.ttl
    if before is None:
        return None, None
    last = before.expire_time
    if expiry is not None and expiry.expire_time is not None and last is not None:
        last = max(last, expiry.expire_time)
    return last, before.ttl


def _draft(
    content: Content,
    given: Vectors,
    expiry: Expiry | None,
    found: Row | None,
    alive: Row | None,
    *,
    content_hash: bytes | None,
) -> Draft:
    vector = given.own
    embed = vector is None and bool(content.text)
    embedding = None
    if embed and alive is not None and _same_text(alive, content):
        vector, embed, embedding = alive.vector, False, alive.record.embedding
    known = {} if alive is None else _known(alive)
    further = tuple(
        known.get(each.text) if each.text else own
        for each, own in zip(content.indexed_texts, given.further, strict=True)
    )
    return Draft(
        content,
        vector,
        embed,
        embedding,
        further,
        frozenset(
            number
            for number, each in enumerate(content.indexed_texts)
            if each.text and further[number] is None
        ),
        expiry,
        found,
        alive is not None,
        content_hash,
    )


def _known(row: Row) -> dict[str, Vector]:
    """The vectors that the embedder has made for a memory, by their texts."""
    content = row.record.content
    known: dict[str, Vector] = {}
    if row.vector is not None and content.text and not content.client_vector:
        known[content.text] = row.vector
    for each, vector in zip(content.indexed_texts, row.further, strict=True):
        if each.text and vector is not None:
            known[each.text] = vector
    return known


def _same_text(row: Row, content: Content) -> bool:
    old = row.record.content
    return row.vector is not None and not old.client_vector and old.text == content.text


def _refused(draft: Draft, item: Put | Update, refused: Collection[str]) -> Iterator[Violation]:
    if isinstance(item, Put):
        own, further = f"puts[{item.index}].memory.text", f"puts[{item.index}].memory.indexed_texts"
    else:
        own, further = f"updates[{item.index}].text", f"updates[{item.index}].indexed_texts.texts"
    if draft.embed and draft.content.text in refused:
        yield Violation(own, _REFUSED)
    for number in sorted(draft.embed_texts):
        if draft.content.indexed_texts[number].text in refused:
            yield Violation(f"{further}[{number}].text", _REFUSED)


def _with_event_time(content: Content, now: int) -> Content:
    episode = content.episode
    if episode is None or episode.event_time is not None:
        return content
    return replace(content, episode=replace(episode, event_time=now))


def _at_event_time(content: Content, old: Content) -> Content:
    """The content with the event_time that is there, when it names none of its own."""
    if old.episode is None or old.episode.event_time is None:
        return content
    return _with_event_time(content, old.episode.event_time)


def _too_large(content: Content) -> MemplaneError | None:
    """Why a memory that grew by updates must not: what is over the limits could not be put again."""
    values, size = 0, sum(len(text.encode()) for text in content.texts)
    stack: list[Value] = [dict(content.attributes)]
    if content.value is not ABSENT:
        stack.append(content.value)
    while stack:
        value = stack.pop()
        if isinstance(value, list | dict):
            values += len(value)
            stack += value if isinstance(value, list) else value.values()
            size += sum(map(len, value)) if isinstance(value, dict) else 0
        elif isinstance(value, str | bytes):
            size += len(value.encode() if isinstance(value, str) else value)
        else:
            size += 8
    if values > VALUE_ITEMS:
        both = f"{values} values with those that are there, but at most {VALUE_ITEMS}"
        return invalid([Violation("attributes", f"{both} are allowed")])
    if size > MEMORY_BYTES:
        return MemplaneError(
            Code.INVALID_ARGUMENT,
            Reason.ITEM_TOO_LARGE,
            f"with what is there the memory has some {size} bytes, above {MEMORY_BYTES}",
            metadata={"limit_bytes": str(MEMORY_BYTES), "actual_bytes": str(size)},
        )
    return None
