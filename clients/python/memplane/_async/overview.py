"""The calls that say what there is, without the memories themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from memplane import _replies, _requests, _values
from memplane._async.connection import MEMORY_SERVICE, AsyncBase, AsyncConnection
from memplane._enums import Kind, to_wire
from memplane._errors import InvalidArgument
from memplane._filter_dicts import FilterLike, filter_message
from memplane._models import NamespacePage, Statistics
from memplane.v1 import namespace_pb2, statistics_pb2

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncNamespaceList:
    """Namespaces: iterate for them, or use `pages` or `page`. Each iteration starts anew."""

    def __init__(
        self,
        connection: AsyncConnection,
        request: namespace_pb2.ListNamespacesRequest,
        timeout: float | None,
    ) -> None:
        self._connection = connection
        self._request = request
        self._timeout = timeout

    async def page(self, page_token: str = "") -> NamespacePage:
        """One page, in one call: the first, or that of a `next_page_token`."""
        request = namespace_pb2.ListNamespacesRequest()
        request.CopyFrom(self._request)
        request.page_token = _values.text(page_token, "page_token")
        return _replies.namespace_page(
            await self._connection.call(
                MEMORY_SERVICE + "ListNamespaces",
                request,
                namespace_pb2.ListNamespacesResponse,
                self._timeout,
            )
        )

    async def pages(self, page_token: str = "") -> AsyncIterator[NamespacePage]:
        """Page after page, from the first or from a `next_page_token` on.

        A page may be shorter than asked, even empty, and not be the last.
        """
        while True:
            page = await self.page(page_token)
            yield page
            page_token = page.next_page_token
            if not page_token:
                return

    async def __aiter__(self) -> AsyncIterator[tuple[str, ...]]:
        async for page in self.pages():
            for namespace in page.namespaces:
                yield namespace


class AsyncOverview(AsyncBase):
    """Says what there is."""

    def namespaces(
        self,
        kind: Kind | str = Kind.SEMANTIC,
        *,
        prefix: Iterable[str] = (),
        suffix: Iterable[str] = (),
        max_depth: int | None = None,
        page_size: int = 0,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> AsyncNamespaceList:
        r"""Lists the namespaces that hold memories of one kind, the one that is bound here and below.

        It makes no call itself: iterate over what it returns with `async for`.

        In `prefix` and `suffix` a "*" stands for any one label; the label "*" itself is written
        r"\*" (and r"\*" is r"\\*", and so on).

        Args:
            kind: Which kind.
            prefix: Their first labels below the namespace that is bound here.
            suffix: Their last labels.
            max_depth: Longer ones are cut to so many labels below the namespace that is bound here,
                1 or more, and come once. None means that they are not cut.
            page_size: How many a call, 1 to 1,000. 0 means 50.
            consistency_token: What a write returned: wait for that write.
            timeout: Seconds of each call; None means the client's.

        Returns:
            Something to iterate over; each is a tuple of labels from the root on, in order.
        """
        if max_depth is not None and _values.whole(max_depth, "max_depth") < 1:
            raise InvalidArgument.at("max_depth", f"must be 1 or more, but is {max_depth}")
        bound = [namespace_pb2.LabelPattern(label=label) for label in self._namespace]
        request = namespace_pb2.ListNamespacesRequest(
            kind=to_wire(Kind, kind, "kind"),
            prefix=[*bound, *_requests.label_patterns(prefix, "prefix")],
            suffix=_requests.label_patterns(suffix, "suffix"),
            max_depth=0 if max_depth is None else len(bound) + max_depth,
            page_size=_values.whole(page_size, "page_size"),
            consistency_token=_values.text(consistency_token, "consistency_token"),
        )
        return AsyncNamespaceList(self._connection, request, timeout)

    async def statistics(
        self,
        *kinds: Kind | str,
        filter: FilterLike | None = None,
        exact_namespace: bool = False,
        consistency_token: str = "",
        timeout: float | None = None,
    ) -> dict[Kind, Statistics]:
        """Figures about the memories below the namespace that is bound here, by kind.

        Args:
            kinds: Which kinds. None given means all.
            filter: Which memories.
            exact_namespace: Only this very namespace, not those below it.
            consistency_token: What a write returned: wait for that write.
            timeout: Seconds; None means the client's.

        Raises:
            MemplaneError: The call failed, for one of the kinds at least.
        """
        request = statistics_pb2.GetStatisticsRequest(
            kinds=[to_wire(Kind, kind, f"kinds[{i}]") for i, kind in enumerate(kinds)],
            namespace=self._namespace,
            exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
            filter=filter_message(filter, "filter"),
            consistency_token=_values.text(consistency_token, "consistency_token"),
        )
        return _replies.statistics(
            await self._connection.call(
                MEMORY_SERVICE + "GetStatistics",
                request,
                statistics_pb2.GetStatisticsResponse,
                timeout,
            )
        )
