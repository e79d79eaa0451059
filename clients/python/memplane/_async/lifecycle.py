"""The calls that decide which memories go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from memplane import _lifecycle, _requests, _values
from memplane._async.connection import LIFECYCLE_SERVICE, AsyncBase
from memplane._async.further import call_to_the_end
from memplane._enums import Durability, Kind, to_wire
from memplane._filter_dicts import FilterLike, filter_message
from memplane._lifecycle import ConsolidateResult, ForgetResult
from memplane.v1 import consolidate_pb2, forget_pb2

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncLifecycle(AsyncBase):
    """Forgets and merges memories."""

    async def forget(
        self,
        kind: Kind | str,
        *,
        older_than: timedelta | float | None = None,
        inactive_for: timedelta | float | None = None,
        importance_below: float | None = None,
        half_life: timedelta | float | None = None,
        filter: FilterLike | None = None,
        exact_namespace: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[int], object] | None = None,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ForgetResult:
        """Deletes the memories of one kind below the namespace bound here that are not worth keeping.

        Those that are not pinned and meet every condition that is given; at least one of `older_than`,
        `inactive_for` and `importance_below` has to be. What is written after it began survives. What
        a call to the gateway cannot finish is done by further calls, as in `purge`.

        Args:
            kind: Which kind.
            older_than: Those that are at least so old (timedelta or seconds): since their event_time,
                else their create_time.
            inactive_for: Those that were not changed for at least so long. Reads do not count.
            importance_below: Those whose importance is below this, 0 to 1; one that does not say its
                importance counts as 0.5.
            half_life: In how much age importance halves, for `importance_below`. None means that it
                does not decay.
            filter: Which memories, beside the conditions. None means all.
            exact_namespace: Only this very namespace, not those below it.
            dry_run: Only find what would be deleted.
            on_progress: Told after each call to the gateway how many memories went so far.
            min_durability: Refuse with FailedPrecondition when the route reaches less.
            request_id: Makes a retry recognisable, as in `purge`; minted when not given.
            timeout: Seconds of each call; None means the client's.

        Returns:
            How many memories were deleted, or with `dry_run` would have been, and which.

        Raises:
            InvalidArgument: Something is not as it must be; nothing was deleted.
            Unavailable: The store is down, or writes to these memories wait in the outbox.
            MemplaneError: Anything else that failed; `metadata["forgotten"]` is how many memories
                the call deleted before that.
        """
        options = _requests.WriteOptions(min_durability, request_id)
        request = forget_pb2.ForgetMemoriesRequest(
            kind=to_wire(Kind, kind, "kind"),
            namespace=self._namespace,
            exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
            filter=filter_message(filter, "filter"),
            dry_run=_values.flag(dry_run, "dry_run"),
            min_durability=options.durability(),
        )
        if older_than is not None:
            request.older_than.CopyFrom(_values.duration(older_than, "older_than"))
        if inactive_for is not None:
            request.inactive_for.CopyFrom(_values.duration(inactive_for, "inactive_for"))
        if importance_below is not None:
            request.importance_below = _values.number(importance_below, "importance_below")
        if half_life is not None:
            request.half_life.CopyFrom(_values.duration(half_life, "half_life"))
        done = await call_to_the_end(
            self._connection,
            LIFECYCLE_SERVICE + "ForgetMemories",
            request,
            forget_pb2.ForgetMemoriesResponse,
            options=options,
            timeout=timeout,
            counted=lambda responses: sum(each.count for each in responses),
            on_progress=on_progress,
        )
        return _lifecycle.forgotten(done, dry_run=dry_run)

    async def consolidate(
        self,
        kind: Kind | str = Kind.SEMANTIC,
        *,
        min_similarity: float | None = None,
        filter: FilterLike | None = None,
        exact_namespace: bool = False,
        dry_run: bool = False,
        on_progress: Callable[[int], object] | None = None,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ConsolidateResult:
        """Merges near-duplicates by vector, each namespace below the one bound here by itself.

        Of near-duplicates the pinned ones are kept, else the most important, then the newest. What
        is kept gets what it lacks from the others (attributes, a higher importance, a later expiry);
        they are deleted. A memory is only merged into one that it is itself similar to. What a call
        to the gateway cannot finish is done by further calls, as in `purge`.

        Args:
            kind: SEMANTIC or EPISODIC.
            min_similarity: The lowest cosine of two vectors to merge them, 0.5 to 1. None means 0.95.
            filter: Which memories take part. None means all.
            exact_namespace: Only this very namespace, not those below it.
            dry_run: Only find what would be merged.
            on_progress: Told after each call to the gateway how many memories were merged so far.
            min_durability: Refuse with FailedPrecondition when the route reaches less.
            request_id: Makes a retry recognisable, as in `purge`; minted when not given.
            timeout: Seconds of each call; None means the client's.

        Returns:
            What was kept and what was merged into it, or with `dry_run` would have been.

        Raises:
            InvalidArgument: Something is not as it must be; nothing was merged.
            Unimplemented: The store cannot search exactly by vector, or the kind is PROCEDURAL.
            Unavailable: The store is down, or writes to these memories wait in the outbox.
            MemplaneError: Anything else that failed; `metadata["merged"]` is how many memories the
                call merged before that.
        """
        options = _requests.WriteOptions(min_durability, request_id)
        request = consolidate_pb2.ConsolidateMemoriesRequest(
            kind=to_wire(Kind, kind, "kind"),
            namespace=self._namespace,
            exact_namespace=_values.flag(exact_namespace, "exact_namespace"),
            filter=filter_message(filter, "filter"),
            dry_run=_values.flag(dry_run, "dry_run"),
            min_durability=options.durability(),
        )
        if min_similarity is not None:
            request.min_similarity = _values.number(min_similarity, "min_similarity")
        done = await call_to_the_end(
            self._connection,
            LIFECYCLE_SERVICE + "ConsolidateMemories",
            request,
            consolidate_pb2.ConsolidateMemoriesResponse,
            options=options,
            timeout=timeout,
            counted=lambda responses: sum(each.merged_count for each in responses),
            on_progress=on_progress,
        )
        return _lifecycle.consolidated(done, dry_run=dry_run)
