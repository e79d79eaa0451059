"""A session: the events of one conversation or run, in their order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from memplane import _sessions, _values
from memplane._async.reading import AsyncMemoryList
from memplane._enums import Durability, EpisodeType, Kind, Mode, Order, Outcome
from memplane._filter_dicts import FilterLike
from memplane._inputs import UNSET, OrUnset
from memplane._models import Count, Memory, Ref, SearchResult, WriteResult
from memplane._values import ValueLike
from memplane._vectors import VectorLike

if TYPE_CHECKING:
    from memplane._async.scope import AsyncScope

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)

_PAGE = 200
_MAX_PAGE = 1000


class AsyncSession:
    """The events of one session: the EPISODIC memories of one namespace that have its session id.

    They go by event time, and those of one time by key. Iterate for all of them, oldest first, with
    `async for`; or ask for the newest with `history`.

        talk = ada.session("s-17")
        await talk.append("I would like a refund", actor="user")
        for event in await talk.history(last=20):
            print(event.episode.actor, event.text)

    Events in namespaces below this one, and those of the same session id elsewhere, are not in it.
    """

    def __init__(self, scope: AsyncScope, session_id: str, agent_id: str) -> None:
        self._scope = scope
        self._id = _sessions.session_id_of(session_id)
        self._agent_id = _values.text(agent_id, "agent_id")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._id!r} in {list(self._scope.namespace)!r}>"

    @property
    def session_id(self) -> str:
        """The id of the session."""
        return self._id

    async def append(
        self,
        text: str,
        *,
        actor: str = "",
        type: EpisodeType | str = EpisodeType.CONVERSATION,
        attributes: Mapping[str, ValueLike] | None = None,
        input: ValueLike = None,
        output: ValueLike = None,
        event_time: datetime | None = None,
        value: OrUnset = UNSET,
        importance: float | None = None,
        pinned: bool = False,
        vector: VectorLike | None = None,
        ttl: timedelta | float | None = None,
        expire_time: datetime | None = None,
        key: str | None = None,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Keeps an event of this session, after all that this process has appended before.

        The time of the event is that of this process: in microseconds, and each later than the one
        before, whatever the clock does. Between processes, and beside an `event_time` that is given,
        the clocks decide.

        Key and request id are minted here, so the retries of the call make no second event. To try
        again yourself, after an error that is `ambiguous`, give a `key` or a `request_id` of your own
        from the first try on: then the time is left to the gateway, as with `record`, and a retry
        says the same.

        Args:
            text: What happened; empty where `input`, `output` or `value` say it.
            actor: Who spoke or acted.
            type: The sort of event: a turn of a conversation unless said otherwise.
            attributes: Facts to filter by.
            input: What went in, for example a tool's arguments. None means none.
            output: What came out, for example a tool's result. None means none.
            event_time: When it happened; an aware datetime. None means now.
            value: As of `put`, like all that follows.
            importance: 0 to 1.
            pinned: Whether forgetting and caps leave it alone.
            vector: Its own vector.
            ttl: When it is gone, counted from now.
            expire_time: When it is gone.
            key: Its name; what is there under it is replaced. None means that one is minted.
            min_durability: Refuses the call when the route reaches less.
            request_id: Makes a retry recognisable.
            timeout: Seconds; None means the client's.

        Raises:
            InvalidArgument: Something is not as it must be; nothing was written.
            MemplaneError: Anything else that failed.
        """
        if event_time is None and key is None and request_id is None:
            event_time = _sessions.next_event_time()
        return await self._scope.record(
            text,
            session_id=self._id,
            agent_id=self._agent_id,
            actor=actor,
            type=type,
            event_time=event_time,
            input=input,
            output=output,
            key=key,
            attributes=attributes,
            value=value,
            importance=importance,
            pinned=pinned,
            vector=vector,
            ttl=ttl,
            expire_time=expire_time,
            min_durability=min_durability,
            request_id=request_id,
            timeout=timeout,
        )

    async def history(
        self,
        last: int = 20,
        *,
        filter: FilterLike | None = None,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> tuple[Memory, ...]:
        """The newest events, oldest first. Most often it takes one call.

        Args:
            last: How many at most, 0 or more.
            filter: Which events: `attr("topic") == "food"`, or `{"topic": "food"}`.
            consistency_token: Waits for the write that returned it.
            timeout: Seconds of each call; None means the client's.

        Raises:
            InvalidArgument: Something is not as it must be.
            MemplaneError: A call failed. An outage is never answered with an empty history.
        """
        if _values.whole(last, "last", 0) == 0:
            return ()
        events: list[Memory] = []
        # One more than asked for shows whether the last place is shared by events of one time.
        walk = self._walk(
            filter,
            min(last + 1, _MAX_PAGE),
            descending=True,
            consistency_token=consistency_token,
            timeout=timeout,
        )
        async for page in walk.pages():
            for event in page:
                if len(events) >= last and _sessions.instant(event) != _sessions.instant(
                    events[-1]
                ):
                    return _sessions.newest(events, last)
                events.append(event)
        return _sessions.newest(events, last)

    def __aiter__(self) -> AsyncIterator[Memory]:
        return self._walk(None, _PAGE).__aiter__()

    async def count(
        self,
        *,
        filter: FilterLike | None = None,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> Count:
        """Counts the events of this session. Arguments, result and errors as of `scope.count`."""
        return await self._scope.count(
            Kind.EPISODIC,
            filter=_sessions.within(self._id, filter),
            exact_namespace=True,
            consistency_token=consistency_token,
            timeout=timeout,
        )

    async def search(
        self,
        text: str | None = None,
        *,
        vector: VectorLike | None = None,
        like: Ref | None = None,
        mode: Mode | str = Mode.AUTO,
        filter: FilterLike | None = None,
        limit: int = 0,
        min_relevance: float | None = None,
        time_from: datetime | None = None,
        time_to: datetime | None = None,
        with_vectors: bool = False,
        exact: bool = False,
        vector_share: float | None = None,
        recency_half_life: timedelta | float | None = None,
        recency_weight: float | None = None,
        importance_weight: float = 0.0,
        diversity: float = 0.0,
        explain: bool = False,
        page_token: str = "",
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> SearchResult:
        """Finds events of this session, best first. Arguments and errors as of `scope.search`."""
        return await self._scope.search(
            text,
            kind=Kind.EPISODIC,
            vector=vector,
            like=like,
            mode=mode,
            filter=_sessions.within(self._id, filter),
            limit=limit,
            min_relevance=min_relevance,
            time_from=time_from,
            time_to=time_to,
            exact_namespace=True,
            with_vectors=with_vectors,
            exact=exact,
            vector_share=vector_share,
            recency_half_life=recency_half_life,
            recency_weight=recency_weight,
            importance_weight=importance_weight,
            diversity=diversity,
            explain=explain,
            page_token=page_token,
            consistency_token=consistency_token,
            timeout=timeout,
        )

    async def delete(self, *, timeout: float | None = None) -> int:
        """Deletes the events of this session, page by page, and says how many.

        It is not one step: when it fails, some are gone, and it can be run again. An event that is
        appended meanwhile may stay.

        Args:
            timeout: Seconds of each call; None means the client's.

        Raises:
            MemplaneError: A call failed, or one of the events could not be deleted.
        """
        deleted = 0
        async for page in self._walk(None, _MAX_PAGE, timeout=timeout).pages():
            results = await self._scope.delete_many((event.ref for event in page), timeout=timeout)
            deleted += sum(result.outcome is Outcome.DELETED for result in results)
            results.raise_for_error()
        return deleted

    def _walk(
        self,
        filter: FilterLike | None,
        page_size: int,
        *,
        descending: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> AsyncMemoryList:
        return self._scope.list(
            Kind.EPISODIC,
            filter=_sessions.within(self._id, filter),
            order=Order.EVENT_TIME,
            descending=descending,
            page_size=page_size,
            exact_namespace=True,
            consistency_token=consistency_token,
            timeout=timeout,
        )
