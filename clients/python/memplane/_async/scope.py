"""The everyday words, each about the namespace that is bound, beside the full surface."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from memplane._async.lifecycle import AsyncLifecycle
from memplane._async.overview import AsyncOverview
from memplane._async.purging import AsyncPurging
from memplane._async.reading import AsyncReading
from memplane._async.session import AsyncSession
from memplane._async.state import AsyncState
from memplane._async.streaming import AsyncStreaming
from memplane._async.writing import AsyncWriting
from memplane._enums import Durability, EpisodeType, Kind, Mode, coerce
from memplane._errors import InvalidArgument
from memplane._filter_dicts import FilterLike
from memplane._inputs import UNSET, IndexedTexts, OrUnset
from memplane._models import Episode, Ref, SearchResult, WriteResult, labels_of
from memplane._states import MergeLike, StateOptions
from memplane._values import ValueLike
from memplane._vectors import VectorLike

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncScope(
    AsyncReading, AsyncWriting, AsyncStreaming, AsyncPurging, AsyncLifecycle, AsyncOverview
):
    """A namespace, bound once: all that is written lies in it, all that is searched lies below it.

    Refs are absolute: a call that is given a `Ref` uses the namespace of the ref.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {list(self._namespace)!r} at {self._connection.target}>"

    def scope(self, *labels: str) -> AsyncScope:
        """The namespace below this one at the given labels, each 1 to 256 bytes.

        Example:
            `client.scope("support-bot", "user-42")` is
            `client.scope("support-bot").scope("user-42")`.
        """
        below = self._namespace + labels_of(labels, "namespace")
        return AsyncScope(self._connection, below)

    def ref(self, kind: Kind | str, key: str = "") -> Ref:
        """The ref of a key in this namespace, for the items of batches. Empty means to be minted."""
        return Ref(coerce(Kind, kind, "kind"), self._namespace, key)

    async def remember(
        self,
        text: str,
        *,
        key: str | None = None,
        attributes: Mapping[str, ValueLike] | None = None,
        value: OrUnset = UNSET,
        importance: float | None = None,
        pinned: bool = False,
        vector: VectorLike | None = None,
        indexed_texts: IndexedTexts = (),
        ttl: timedelta | float | None = None,
        expire_time: datetime | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Keeps a fact: a SEMANTIC memory. Arguments and errors as of `put`.

        Raises:
            InvalidArgument: There is nothing to keep: no text, attributes, value or vector.
        """
        nothing = text == "" and value is UNSET and vector is None
        if nothing and not attributes and not indexed_texts:
            raise InvalidArgument.at("text", "is empty; there is nothing to remember")
        return await self.put(
            Kind.SEMANTIC,
            key,
            text=text,
            attributes=attributes,
            value=value,
            importance=importance,
            pinned=pinned,
            vector=vector,
            indexed_texts=indexed_texts,
            ttl=ttl,
            expire_time=expire_time,
            if_match=if_match,
            if_absent=if_absent,
            if_present=if_present,
            min_durability=min_durability,
            request_id=request_id,
            timeout=timeout,
        )

    async def record(
        self,
        text: str,
        *,
        session_id: str = "",
        agent_id: str = "",
        actor: str = "",
        type: EpisodeType | str = EpisodeType.CUSTOM,
        event_time: datetime | None = None,
        input: ValueLike = None,
        output: ValueLike = None,
        key: str | None = None,
        attributes: Mapping[str, ValueLike] | None = None,
        value: OrUnset = UNSET,
        importance: float | None = None,
        pinned: bool = False,
        vector: VectorLike | None = None,
        indexed_texts: IndexedTexts = (),
        ttl: timedelta | float | None = None,
        expire_time: datetime | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Keeps an event: an EPISODIC memory. Further arguments and errors as of `put`.

        Args:
            text: What happened.
            session_id: The conversation or run that it belongs to.
            agent_id: The agent that took part.
            actor: Who spoke or acted.
            type: The sort of event.
            event_time: When it happened; an aware datetime. None means now, by the gateway's clock.
            input: What went in, for example a tool's arguments. None means none.
            output: What came out, for example a tool's result. None means none.
            key: As of `put`, like all that follows.
            attributes: Facts to filter by.
            value: A payload that comes back as it went in.
            importance: 0 to 1.
            pinned: Whether forgetting and caps leave it alone.
            vector: Its own vector.
            indexed_texts: Further texts or vectors that it is found by, by their paths.
            ttl: When it is gone, counted from now.
            expire_time: When it is gone.
            if_match: Only if the memory has this etag.
            if_absent: Only if the memory is missing.
            if_present: Only if the memory is there.
            min_durability: See the class.
            request_id: See the class.
            timeout: See the class.
        """
        return await self.put(
            Kind.EPISODIC,
            key,
            text=text,
            episode=Episode(
                type=coerce(EpisodeType, type, "type"),
                event_time=event_time,
                session_id=session_id,
                agent_id=agent_id,
                actor=actor,
                input=input,
                output=output,
            ),
            attributes=attributes,
            value=value,
            importance=importance,
            pinned=pinned,
            vector=vector,
            indexed_texts=indexed_texts,
            ttl=ttl,
            expire_time=expire_time,
            if_match=if_match,
            if_absent=if_absent,
            if_present=if_present,
            min_durability=min_durability,
            request_id=request_id,
            timeout=timeout,
        )

    async def set(
        self,
        key: str,
        value: ValueLike,
        *,
        text: str = "",
        attributes: Mapping[str, ValueLike] | None = None,
        importance: float | None = None,
        pinned: bool = False,
        ttl: timedelta | float | None = None,
        expire_time: datetime | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Sets a key to a value: a PROCEDURAL memory. Arguments and errors as of `put`.

        Args:
            key: The name; it must not be empty.
            value: What `value` will return. None is null, which is not the same as nothing.
            text: A text beside the value.
            attributes: Facts to filter by.
            importance: 0 to 1.
            pinned: Whether forgetting and caps leave it alone.
            ttl: When it is gone, counted from now.
            expire_time: When it is gone.
            if_match: Only if the memory has this etag.
            if_absent: Only if the memory is missing.
            if_present: Only if the memory is there.
            min_durability: See the class.
            request_id: See the class.
            timeout: See the class.
        """
        return await self.put(
            Kind.PROCEDURAL,
            _key(key),
            text=text,
            value=value,
            attributes=attributes,
            importance=importance,
            pinned=pinned,
            ttl=ttl,
            expire_time=expire_time,
            if_match=if_match,
            if_absent=if_absent,
            if_present=if_present,
            min_durability=min_durability,
            request_id=request_id,
            timeout=timeout,
        )

    async def value(
        self,
        key: str,
        default: Any = None,
        *,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> Any:
        """The value that a key was set to; `default` where it was never set, or has expired.

        Raises:
            MemplaneError: The call failed. An outage is never answered with the default.
        """
        memory = await self.get(
            Kind.PROCEDURAL, _key(key), consistency_token=consistency_token, timeout=timeout
        )
        return memory.value if memory is not None and memory.has_value else default

    def state(
        self,
        key: str,
        *,
        ttl: timedelta | float | None = None,
        merge: MergeLike = "keys",
        min_durability: Durability | str | None = None,
        timeout: float | None = None,
    ) -> AsyncState:
        """The state of a workflow under a key: a map that is read, changed and written as one step.

        It makes no call itself.

        Args:
            key: The name; it must not be empty. What is there may also be read with `value`.
            ttl: When it is gone, counted from each write; a timedelta or seconds. None leaves the
                expiry as it is; a state that a block or `update` leaves unchanged is not written.
            merge: What a block does when another writer was ahead of it. "keys": as long as the two
                touched different names (of the outermost map), both changes count, else it raises
                StateConflict. "never": it raises. A function: it is given the state as it was read,
                as the block left it and as the other writer left it, and returns the one to write;
                it may run several times. A state that is gone is always a conflict. `update` does
                not merge: it runs again.
            min_durability: Refuses a write when the route reaches less.
            timeout: Seconds of each call; None means the client's.

        Example:
            async with ada.state("checkout") as state:
                state["step"] = state.get("step", 0) + 1
        """
        ref = Ref(Kind.PROCEDURAL, self._namespace, _key(key))
        return AsyncState(self, ref, StateOptions(ttl, merge, min_durability, timeout))

    def session(self, session_id: str, *, agent_id: str = "") -> AsyncSession:
        """The session of an id in this namespace: events to append, and to read in order.

        It makes no call itself.

        Args:
            session_id: The conversation or run, 1 to 512 bytes.
            agent_id: The agent that the events appended here belong to. Empty means none.
        """
        return AsyncSession(self, session_id, agent_id)

    async def recent(
        self,
        limit: int = 0,
        *,
        kind: Kind | str = Kind.EPISODIC,
        filter: FilterLike | None = None,
        time_from: datetime | None = None,
        time_to: datetime | None = None,
        exact_namespace: bool = False,
        with_vectors: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> SearchResult:
        """The newest memories of one kind, by event time, else by the last change.

        Args:
            limit: How many at most, 1 to 1,000. 0 means 50.
            kind: Which kind.
            filter: Which memories.
            time_from: Only what happened (else: was last changed) at or after this.
            time_to: Only what happened (else: was last changed) before this.
            exact_namespace: Only this very namespace, not those below it.
            with_vectors: Whether the memories come with their vectors.
            consistency_token: See the class.
            timeout: See the class.

        Raises:
            MemplaneError: The call failed.
        """
        return await self.search(
            kind=kind,
            mode=Mode.RECENT,
            filter=filter,
            limit=limit,
            time_from=time_from,
            time_to=time_to,
            exact_namespace=exact_namespace,
            with_vectors=with_vectors,
            consistency_token=consistency_token,
            timeout=timeout,
        )


def _key(key: str) -> str:
    """A key that must be given."""
    if key == "":
        raise InvalidArgument.at("key", "is empty; a value is set and read by its key")
    return key
