"""The outboxes of all routes, for their operator: AdminService's rpcs about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from memplane.v1 import admin_service_pb2 as pb
from memplane_adapters.contract import Kind
from memplane_gateway import limits
from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.model import Caller
from memplane_gateway.outbox.outbox import Outbox, damaged
from memplane_gateway.routes import Router
from memplane_gateway.wire.memories import KINDS
from memplane_gateway.wire.outbox import write_spooled
from memplane_gateway.wire.replies import write_item_error
from memplane_gateway.wire.violations import Violations

_BETWEEN = "-"


class Outboxes:
    """Lists, retries and drops what waits for the stores."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def list_entries(
        self, request: pb.ListOutboxEntriesRequest, _caller: Caller
    ) -> pb.ListOutboxEntriesResponse:
        """A page of entries, kind by kind."""
        violations = Violations()
        if request.kind and request.kind not in KINDS:
            violations.add("kind", "is unknown")
        if request.page_size < 0:
            violations.add("page_size", "is negative; 0 means the default")
        begin = _parsed(request.page_token) if request.page_token else None
        if request.page_token and begin is None:
            violations.add("page_token", "was not given out by this gateway")
        elif begin is not None and request.kind and KINDS.get(request.kind) is not begin[0]:
            violations.add("page_token", "was given out for another kind")
        violations.raise_if_any()
        left = min(request.page_size or limits.DEFAULT_PAGE_ITEMS, limits.MAX_PAGE_ITEMS)
        response = pb.ListOutboxEntriesResponse()
        for outbox in self._outboxes(KINDS.get(request.kind)):
            after = 0
            if begin is not None:
                if outbox.kind is not begin[0]:
                    continue
                after, begin = begin[1], None
            found = await outbox.listed(dead=request.dead, after=after, limit=left + 1)
            # The outbox says less than it is asked for where entries are large: then that is the page.
            more = len(found) > left
            for entry in found[:left]:
                message = response.entries.add()
                if isinstance(entry, int):
                    after = entry
                    write_item_error(damaged(), message.error)
                else:
                    after = entry.id
                    write_spooled(entry, message)
                message.id = _name(outbox.kind, after)
            if more or (found and await outbox.listed(dead=request.dead, after=after, limit=1)):
                response.next_page_token = _name(outbox.kind, after)
                break
            left -= len(found)
        return response

    async def retry(
        self, request: pb.RetryOutboxEntriesRequest, _caller: Caller
    ) -> pb.RetryOutboxEntriesResponse:
        """Have dead letters wait again."""
        response = pb.RetryOutboxEntriesResponse()
        await self._each(request.ids, Outbox.retry, response.results.add)
        return response

    async def drop(
        self, request: pb.DropOutboxEntriesRequest, _caller: Caller
    ) -> pb.DropOutboxEntriesResponse:
        """Forget dead letters."""
        response = pb.DropOutboxEntriesResponse()
        await self._each(request.ids, Outbox.drop, response.results.add)
        return response

    async def _each(
        self,
        names: Iterable[str],
        do: Callable[[Outbox, int], Awaitable[MemplaneError | None]],
        add: Callable[[], pb.OutboxResult],
    ) -> None:
        wanted = list(names)
        violations = Violations()
        violations.count(wanted, "ids", 1, limits.BATCH_ITEMS)
        parsed = [_parsed(name) for name in wanted[: limits.BATCH_ITEMS]]
        for index, place in enumerate(parsed):
            if place is None:
                violations.add(f"ids[{index}]", "is no id of an entry, such as semantic-123")
        violations.raise_if_any()
        for index, (name, place) in enumerate(zip(wanted, parsed, strict=True)):
            assert place is not None, "checked"
            outbox = next(iter(self._outboxes(place[0])), None)
            try:
                error = await do(outbox, place[1]) if outbox is not None else _no_outbox(place[0])
            except MemplaneError as failure:
                if not index:
                    raise
                error = failure  # what became of the others is not to be hidden
            result = add()
            result.id = name
            if error is not None:
                write_item_error(error, result.error)

    def _outboxes(self, kind: Kind | None) -> Iterable[Outbox]:
        return [
            route.outbox
            for route in self._router.routes
            if route.outbox is not None and kind in (None, route.kind)
        ]


def _name(kind: Kind, entry: int) -> str:
    return f"{kind.value}{_BETWEEN}{entry}"


def _parsed(name: str) -> tuple[Kind, int] | None:
    kind, _, number = name.partition(_BETWEEN)
    known = {each.value: each for each in KINDS.values()}.get(kind)
    if known is None or not (number.isascii() and number.isdigit()) or len(number) > 20:
        return None
    return known, int(number)


def _no_outbox(kind: Kind) -> MemplaneError:
    return MemplaneError(
        Code.NOT_FOUND,
        Reason.MEMORY_NOT_FOUND,
        f"the {kind.value} route has no outbox (on_backend_down: reject)",
    )
