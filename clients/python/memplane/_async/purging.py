"""The call that deletes by namespace and filter."""

from __future__ import annotations

from memplane import _replies, _requests, _values
from memplane._async.connection import MEMORY_SERVICE, AsyncBase
from memplane._async.further import call_to_the_end
from memplane._enums import Durability, Kind, to_wire
from memplane._filter_dicts import FilterLike, filter_message
from memplane._models import PurgeResult
from memplane.v1 import purge_pb2

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncPurging(AsyncBase):
    """Deletes memories by what they are."""

    async def purge(
        self,
        kind: Kind | str,
        *,
        filter: FilterLike | None = None,
        exact_namespace: bool = False,
        confirm_all: bool = False,
        dry_run: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> PurgeResult:
        """Deletes the memories of one kind below the namespace that is bound here.

        What is written after it began survives. What a call to the gateway cannot finish is done by
        further calls, each with `timeout`; when one of those fails, what the others deleted is gone,
        which a note on the error says.

        Args:
            kind: Which kind.
            filter: Which memories. None means all.
            exact_namespace: Only this very namespace, not those below it.
            confirm_all: Has to be True where neither a namespace nor a filter says which memories.
            dry_run: Only count what would be deleted.
            min_durability: Refuse with FailedPrecondition when the route reaches less.
            request_id: Makes a retry recognisable, at most 128 bytes; minted when not given. With
                the same one, and the same arguments, a purge that broke off goes on where it was.
            timeout: Seconds of each call; None means the client's.

        Returns:
            How many memories were deleted, or with `dry_run` would have been.

        Raises:
            InvalidArgument: Something is not as it must be; nothing was deleted.
            Unavailable: The store is down, or writes to these memories wait in the outbox.
            MemplaneError: Anything else that failed; `metadata["purged"]` is how many memories the
                call deleted before that.
        """
        options = _requests.WriteOptions(min_durability, request_id)
        request = purge_pb2.PurgeMemoriesRequest(
            kind=to_wire(Kind, kind, "kind"),
            namespace=self._namespace,
            exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
            filter=filter_message(filter, "filter"),
            confirm_all=_values.flag(confirm_all, "confirm_all"),
            dry_run=_values.flag(dry_run, "dry_run"),
            min_durability=options.durability(),
        )
        done = await call_to_the_end(
            self._connection,
            MEMORY_SERVICE + "PurgeMemories",
            request,
            purge_pb2.PurgeMemoriesResponse,
            options=options,
            timeout=timeout,
            counted=lambda responses: sum(each.count for each in responses),
        )
        return _replies.purged(done, dry_run=dry_run)
