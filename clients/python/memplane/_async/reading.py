"""The calls that read: get, search, list, count."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta

from memplane import _replies, _requests, _values
from memplane._async.connection import MEMORY_SERVICE, AsyncBase, AsyncConnection
from memplane._enums import Kind, Mode, Order, to_wire
from memplane._errors import InvalidArgument, ResourceExhausted
from memplane._filter_dicts import FilterLike, filter_message
from memplane._inputs import Query
from memplane._models import Count, Memory, Page, Ref, SearchResult
from memplane._vectors import VectorLike
from memplane.v1 import memory_pb2, memory_service_pb2

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)

_TOO_LARGE = "REPLY_TOO_LARGE"


class AsyncMemoryList:
    """A listing: iterate for its memories, or use `pages` or `page`. Each iteration starts anew."""

    def __init__(
        self,
        connection: AsyncConnection,
        request: memory_service_pb2.ListMemoriesRequest,
        limit: int | None,
        timeout: float | None,
    ) -> None:
        self._connection = connection
        self._request = request
        self._limit = limit
        self._timeout = timeout

    async def page(self, page_token: str = "") -> Page:
        """One page, in one call: the first, or that of a `next_page_token`."""
        request = memory_service_pb2.ListMemoriesRequest()
        request.CopyFrom(self._request)
        request.page_token = _values.text(page_token, "page_token")
        return _replies.page(
            await self._connection.call(
                MEMORY_SERVICE + "ListMemories",
                request,
                memory_service_pb2.ListMemoriesResponse,
                self._timeout,
            )
        )

    async def pages(self, page_token: str = "") -> AsyncIterator[Page]:
        """Page after page, from the first or from a `next_page_token` on; `limit` is not looked at.

        A page may be shorter than asked, even empty, and not be the last.
        """
        while True:
            page = await self.page(page_token)
            yield page
            page_token = page.next_page_token
            if not page_token:
                return

    async def __aiter__(self) -> AsyncIterator[Memory]:
        left = self._limit
        if left == 0:
            return
        async for page in self.pages():
            for memory in page.memories:
                yield memory
                if left is not None:
                    left -= 1
                    if left == 0:
                        return


class AsyncReading(AsyncBase):
    """Reads memories.

    All calls take these: `consistency_token`, which a write returned where not every read sees it
    at once, waits for that write; `timeout` is in seconds (of each call, where a listing makes
    several), None means the client's.
    """

    async def get(
        self,
        ref: Ref | Kind | str,
        key: str | None = None,
        *,
        with_vectors: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> Memory | None:
        """Reads one memory; None when it is missing or expired.

        Args:
            ref: A ref, or a kind; then the memory lies in the namespace that is bound here.
            key: Its name beside a kind.
            with_vectors: Whether it comes with its vector.
            consistency_token: See the class.
            timeout: See the class.

        Raises:
            MemplaneError: The call failed. An outage is never answered with None.
        """
        found = await self.get_many(
            (_requests.resolve("get", self._namespace, ref, key),),
            with_vectors=with_vectors,
            consistency_token=consistency_token,
            timeout=timeout,
        )
        return found[0]

    async def get_many(
        self,
        refs: Iterable[Ref],
        *,
        with_vectors: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> tuple[Memory | None, ...]:
        """Reads memories by ref, in order, with None for what is missing or expired.

        Over 1,000 refs, 3 MiB of them, or 16 MiB of memories are asked in several calls, each with
        `timeout`.

        Raises:
            MemplaneError: A call failed.
        """
        found: list[Memory | None] = []
        for part in _requests.split(_requests.ref_messages(refs)):
            found += await self._get_part(part.items, with_vectors, consistency_token, timeout)
        return tuple(found)

    async def _get_part(
        self,
        refs: Sequence[memory_pb2.MemoryRef],
        with_vectors: bool,  # noqa: FBT001 (private)
        consistency_token: str,
        timeout: float | None,
    ) -> list[Memory | None]:
        try:
            response = await self._connection.call(
                MEMORY_SERVICE + "GetMemories",
                memory_service_pb2.GetMemoriesRequest(
                    refs=refs,
                    view=_requests.view(with_vectors),
                    consistency_token=_values.text(consistency_token, "consistency_token"),
                ),
                memory_service_pb2.GetMemoriesResponse,
                timeout,
            )
        except ResourceExhausted as error:
            if error.reason != _TOO_LARGE or len(refs) == 1:
                raise
            half = len(refs) // 2
            first = await self._get_part(refs[:half], with_vectors, consistency_token, timeout)
            rest = await self._get_part(refs[half:], with_vectors, consistency_token, timeout)
            return first + rest
        _replies.one(response.results, len(refs))
        return list(_replies.memories(response))

    async def search(
        self,
        text: str | None = None,
        *,
        kind: Kind | str = Kind.SEMANTIC,
        vector: VectorLike | None = None,
        like: Ref | None = None,
        mode: Mode | str = Mode.AUTO,
        filter: FilterLike | None = None,
        limit: int = 0,
        min_relevance: float | None = None,
        time_from: datetime | None = None,
        time_to: datetime | None = None,
        exact_namespace: bool = False,
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
        """Finds memories of one kind below the namespace that is bound here.

        Args:
            text: A question or words. Without text and vector the newest come first.
            kind: Which kind.
            vector: A vector instead of a text, of the route's dimension.
            like: A memory of the kind instead of a text: what is near its vector, but for itself.
            mode: How to search; the result names what AUTO chose.
            filter: Which memories may be hits: `attr("price") >= 3`, or `{"price": {"$gte": 3}}`.
            limit: How many hits at most, 1 to 1,000. 0 means 50.
            min_relevance: Only hits of at least this relevance, 0 to 1.
            time_from: Only what happened (else: was last changed) at or after this.
            time_to: Only what happened (else: was last changed) before this.
            exact_namespace: Only this very namespace, not those below it.
            with_vectors: Whether the memories come with their vectors.
            exact: Ask an approximate store for the exact answer; with weights also weigh all that
                matches, not the first 100 alone.
            vector_share: How much the list of VECTOR counts in HYBRID, 0 to 1. None means 0.5, or
                0.2 where the embedder knows no meaning.
            recency_half_life: In how much time (a timedelta or seconds) recency halves.
            recency_weight: How much recency counts, 0 to 1. None means 0.5 with a half-life.
            importance_weight: How much importance counts, 0 to 1.
            diversity: How much hits should differ from each other, 0 (by relevance alone) to 1.
            explain: Whether hits say what their relevance is made of.
            page_token: The `next_page_token` of the page before, of the very same search.
            consistency_token: See the class.
            timeout: See the class.

        Raises:
            InvalidArgument: Something is not as it must be.
            NotFound: The memory that hits are to be like is missing.
            Unimplemented: The route cannot search in this way.
            MemplaneError: Anything else that failed. An outage is never an empty result.
        """
        query = Query(
            text,
            kind=kind,
            exact_namespace=exact_namespace,
            vector=vector,
            like=like,
            mode=mode,
            filter=filter,
            time_from=time_from,
            time_to=time_to,
            min_relevance=min_relevance,
            limit=limit,
            with_vectors=with_vectors,
            exact=exact,
            vector_share=vector_share,
            recency_half_life=recency_half_life,
            recency_weight=recency_weight,
            importance_weight=importance_weight,
            diversity=diversity,
            explain=explain,
            page_token=page_token,
        )
        results = await self.search_many(
            (query,), consistency_token=consistency_token, timeout=timeout
        )
        return results[0]

    async def search_many(
        self,
        queries: Iterable[Query | str],
        *,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> tuple[SearchResult, ...]:
        """Asks up to 16 queries in one call; they may be of different kinds and namespaces.

        Returns:
            One result a query, in order.

        Raises:
            MemplaneError: As `search`; one bad query fails the call.
        """
        request = memory_service_pb2.SearchMemoriesRequest(
            queries=[
                _requests.query_message(query, self._namespace, f"queries[{i}]")
                for i, query in enumerate(queries)
            ],
            consistency_token=_values.text(consistency_token, "consistency_token"),
        )
        response = await self._connection.call(
            MEMORY_SERVICE + "SearchMemories",
            request,
            memory_service_pb2.SearchMemoriesResponse,
            timeout,
        )
        _replies.one(response.results, len(request.queries))
        return tuple(_replies.search_result(result) for result in response.results)

    async def count(
        self,
        kind: Kind | str = Kind.SEMANTIC,
        *,
        filter: FilterLike | None = None,
        exact_namespace: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> Count:
        """Counts the memories of one kind below the namespace that is bound here.

        Returns:
            A number; with a filter its `truncated` may say that there are at least so many.

        Raises:
            MemplaneError: The call failed.
        """
        request = memory_service_pb2.CountMemoriesRequest(
            kind=to_wire(Kind, kind, "kind"),
            namespace=self._namespace,
            exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
            filter=filter_message(filter, "filter"),
            consistency_token=_values.text(consistency_token, "consistency_token"),
        )
        return _replies.count(
            await self._connection.call(
                MEMORY_SERVICE + "CountMemories",
                request,
                memory_service_pb2.CountMemoriesResponse,
                timeout,
            )
        )

    def list(
        self,
        kind: Kind | str = Kind.SEMANTIC,
        *,
        filter: FilterLike | None = None,
        order: Order | str = Order.KEY,
        descending: bool = False,
        limit: int | None = None,
        page_size: int = 0,
        exact_namespace: bool = False,
        with_vectors: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> AsyncMemoryList:
        """Walks over the memories of one kind below the namespace that is bound here.

        It makes no call itself: iterate over what it returns with `async for`.

        A memory that stays unchanged during the walk comes exactly once. By UPDATE_TIME one that is
        written meanwhile may come again, and is never skipped.

        Args:
            kind: Which kind.
            filter: Which memories.
            order: What to go by.
            descending: From the highest to the lowest.
            limit: How many memories at most. None means all.
            page_size: How many a call, 1 to 1,000. 0 means `limit`, or 50 without one.
            exact_namespace: Only this very namespace, not those below it.
            with_vectors: Whether the memories come with their vectors.
            consistency_token: See the class.
            timeout: See the class.

        Returns:
            Something to iterate over; nothing is asked before that, and then page by page.
        """
        if limit is not None:
            if _values.whole(limit, "limit") < 0:
                raise InvalidArgument.at("limit", f"must not be negative, but is {limit}")
            page_size = page_size or min(limit, 1000)
        request = _requests.list_request(
            kind,
            self._namespace,
            filter=filter,
            order=order,
            descending=descending,
            exact_namespace=exact_namespace,
            page_size=page_size,
            with_vectors=with_vectors,
            consistency_token=consistency_token,
        )
        return AsyncMemoryList(self._connection, request, limit, timeout)
