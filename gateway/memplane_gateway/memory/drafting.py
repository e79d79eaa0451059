"""What a put or an update makes of what is there: pure functions from the old row to the new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from memplane_adapters.contract import EmbeddingIdentity, Kind, Value, Vector
from memplane_gateway.errors import MemplaneError, Violation, invalid
from memplane_gateway.limits import ATTRIBUTE_ITEMS
from memplane_gateway.memory.model import (
    ABSENT,
    Content,
    Episode,
    Outcome,
    Provenance,
    Put,
    Record,
    Update,
)
from memplane_gateway.memory.shelf import Row, RowWrite

Fingerprint = Callable[[Content, Vector | None], bytes]


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The write would change nothing."""

    row: Row


@dataclass(frozen=True, slots=True)
class Draft:
    """A row as it is to become; `embed` says that the text still needs its vector."""

    content: Content
    vector: Vector | None
    embed: bool
    embedding: EmbeddingIdentity | None
    content_hash: bytes
    expire_time: int | None
    ttl: int | None
    create_time: int
    update_time: int
    replaced: Row | None
    outcome: Outcome

    def finished(
        self,
        put: Put | Update,
        revision: int,
        vector: Vector | None,
        identity: EmbeddingIdentity | None,
        provenance: Provenance,
    ) -> RowWrite:
        """The row to write, now that its vector is known (None: it has none)."""
        replaced = self.replaced
        record = Record(
            address=put.address,
            content=self.content,
            revision=revision,
            create_time=self.create_time,
            update_time=self.update_time,
            expire_time=self.expire_time,
            ttl=self.ttl,
            content_hash=self.content_hash,
            embedding=identity if vector is not None else None,
            provenance=provenance,
        )
        return RowWrite(Row(record, vector), replaced.record.revision if replaced else 0)


def draft_put(put: Put, found: Row | None, now: int, fingerprint: Fingerprint) -> Draft | Unchanged:
    """A whole memory over what is there. `found` may have expired; then it counts as missing."""
    alive = found if found is not None and found.record.alive(now) else None
    content = put.content
    expire_time = put.expiry.at(now)
    if put.address.kind is Kind.EPISODIC:
        content = replace(content, episode=content.episode or Episode())
    if alive is not None:
        old = alive.record
        as_before = _at_event_time(content, old.content)
        same = fingerprint(as_before, put.vector) == old.content_hash
        if same and expire_time == old.expire_time:
            return Unchanged(alive)
        if same:
            content = as_before
    content = _with_event_time(content, now)
    return _draft(
        content,
        put.vector,
        expire_time=expire_time,
        ttl=put.expiry.ttl,
        found=found,
        alive=alive,
        now=now,
        fingerprint=fingerprint,
    )


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
        client_vector=content.client_vector and not new_text,
    )
    vector = found.vector if content.client_vector else None
    if update.expiry is None:
        ttl, expire_time = old.ttl, old.expire_time
    else:
        ttl, expire_time = update.expiry.ttl, update.expiry.at(now)
    if fingerprint(content, vector) == old.content_hash and expire_time == old.expire_time:
        return Unchanged(found)
    return _draft(
        content,
        vector,
        expire_time=expire_time,
        ttl=ttl,
        found=found,
        alive=found,
        now=now,
        fingerprint=fingerprint,
    )


def _draft(
    content: Content,
    client_vector: Vector | None,
    *,
    expire_time: int | None,
    ttl: int | None,
    found: Row | None,
    alive: Row | None,
    now: int,
    fingerprint: Fingerprint,
) -> Draft:
    vector = client_vector
    embed = client_vector is None and bool(content.text)
    embedding = None
    if embed and alive is not None and _same_text(alive, content):
        vector, embed, embedding = alive.vector, False, alive.record.embedding
    return Draft(
        content=content,
        vector=vector,
        embed=embed,
        embedding=embedding,
        content_hash=fingerprint(content, client_vector),
        expire_time=expire_time,
        ttl=ttl,
        create_time=alive.record.create_time if alive else now,
        update_time=max(now, found.record.update_time) if found else now,
        replaced=found,
        outcome=Outcome.UPDATED if alive else Outcome.CREATED,
    )


def _same_text(row: Row, content: Content) -> bool:
    old = row.record.content
    return row.vector is not None and not old.client_vector and old.text == content.text


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
