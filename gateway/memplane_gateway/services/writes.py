"""What the rpcs that write do alike: check, share out among routes, and say what became of it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from memplane.v1 import memory_service_pb2 as pb
from memplane_adapters.contract import POINT_NAMESPACE, Address, Durability, Kind, Vector
from memplane_gateway import limits
from memplane_gateway.errors import MemplaneError, Reason, unimplemented
from memplane_gateway.memory.model import Caller, Put, Update, Written
from memplane_gateway.routes import Route, Router, durability_refusal
from memplane_gateway.services.calls import Translated, know_durability, read_min_durability
from memplane_gateway.wire.memories import body_hash_of
from memplane_gateway.wire.replies import write_written
from memplane_gateway.wire.sizes import largest_metadata
from memplane_gateway.wire.violations import Violations


class _Addressed(Protocol):
    @property
    def address(self) -> Address: ...


ItemT = TypeVar("ItemT", bound=_Addressed)


class RepeatedResults(Protocol):
    """The results of a reply."""

    def add(self) -> pb.WriteResult:
        """One more."""
        ...


class Writes:
    """Writes of any kind on the routes of their kinds."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def by_route(
        self,
        items: Sequence[ItemT],
        asked: Durability | None,
        write: Callable[[Route, list[ItemT]], Awaitable[list[Written]]],
    ) -> tuple[list[Written], list[Route]]:
        """Write each item on the route of its kind.

        A route that fails fails the call when nothing is written yet, else only its own items.
        """
        groups = grouped([item.address.kind for item in items])
        self._check_writable(items)
        for kind in groups:
            refused = durability_refusal(asked, self._router[kind])
            if refused is not None:
                raise refused
        written: dict[int, Written] = {}
        for kind, indexes in groups.items():
            route = self._router[kind]
            part = [items[index] for index in indexes]
            try:
                with Translated(route):
                    results = await write(route, part)
            except MemplaneError as error:
                if not written:
                    raise
                results = [Written(item.address, error=error) for item in part]
            written.update(zip(indexes, results, strict=True))
            await know_durability(route)
        routes = [self._router[item.address.kind] for item in items]
        return [written[index] for index in range(len(items))], routes

    def check(
        self,
        request: pb.PutMemoriesRequest | pb.UpdateMemoriesRequest | pb.DeleteMemoriesRequest,
        items: Sequence[ItemT],
        field: str,
        caller: Caller,
        violations: Violations,
    ) -> tuple[Caller, Durability | None]:
        """What all writes check. Raises INVALID_ARGUMENT for all that is wrong with the request."""
        first: dict[Address, int] = {}
        for index, item in enumerate(items):
            other = first.setdefault(item.address, index)
            if other != index:
                violations.add(f"{field}[{index}]", f"the same ref as {field}[{other}]")
        violations.short(request.request_id, "request_id", limits.REQUEST_ID_BYTES)
        asked = read_min_durability(request.min_durability, violations)
        violations.raise_if_any()
        self._check_writable(items)
        return replace(caller, request_id=request.request_id), asked

    def _check_writable(self, items: Sequence[ItemT]) -> None:
        """Raises UNIMPLEMENTED when one of the routes is read-only."""
        for kind in dict.fromkeys(item.address.kind for item in items):
            check_writable(self._router[kind])

    def check_atomic(self, items: Sequence[ItemT], ref: str, violations: Violations) -> None:
        """What an atomic call checks; `ref` is the path of an item's ref.

        Raises UNIMPLEMENTED when the store could not do it whatever the request says.
        """
        for index, address in enumerate(item.address for item in items):
            if address.kind is not Kind.PROCEDURAL:
                violations.add(f"{ref.format(index)}.kind", "atomic takes PROCEDURAL alone")
            elif address.namespace != items[0].address.namespace:
                first = f"{ref.format(0)}.namespace"
                violations.add(f"{ref.format(index)}.namespace", f"atomic: is not {first}")
        if violations.noted or self._router[Kind.PROCEDURAL].capabilities.atomic:
            return
        raise unimplemented("atomic", Kind.PROCEDURAL.value, "its store has no atomic batches")

    def check_further(self, item: Put | Update, field: str, violations: Violations) -> None:
        """The dimensions of the vectors among further texts."""
        for index, vector in enumerate(item.further):
            self.check_dimension(item.address.kind, vector, f"{field}[{index}].vector", violations)

    def check_room(self, put: Put, caller: Caller, field: str, violations: Violations) -> None:
        """What a store limits beside vectors; the size is that of the largest it may become."""
        route = self._router[put.address.kind]
        limit = route.capabilities.max_metadata_bytes
        if not limit or violations.noted:
            return
        size = largest_metadata(put, caller, route.embedding)
        if size <= limit:
            return
        violations.add(field, f"some {size} bytes beside its vectors, but the store takes {limit}")
        violations.reason = Reason.ITEM_TOO_LARGE
        violations.metadata = {"limit_bytes": str(limit), "actual_bytes": str(size)}

    def check_dimension(
        self, kind: Kind, vector: Vector | None, field: str, violations: Violations
    ) -> None:
        embedding = self._router[kind].embedding
        if vector is None or embedding is None or len(vector) == embedding.dimension:
            return
        violations.add(field, f"{len(vector)} dimensions, but the route has {embedding.dimension}")
        violations.reason = Reason.DIMENSION_MISMATCH
        violations.metadata = {
            "expected": str(embedding.dimension),
            "actual": str(len(vector)),
        }


def check_writable(route: Route) -> None:
    """Raises UNIMPLEMENTED when the route is read-only."""
    if route.read_only is not None:
        raise route.read_only.refusal


async def with_body(caller: Caller, items: Iterable[Message], *, atomic: bool = False) -> Caller:
    """The caller with the hash that recognises the call's body, if it has a request id."""
    if not caller.request_id:
        return caller
    return replace(caller, body_hash=await body_hash_of(items, atomic=atomic))


def grouped(kinds: Sequence[Kind]) -> Mapping[Kind, list[int]]:
    """The indexes of the items of each kind."""
    groups: dict[Kind, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    return groups


def write_results(
    written: Sequence[Written], routes: Sequence[Route], results: RepeatedResults
) -> None:
    """What became of each item, in order."""
    for item, route in zip(written, routes, strict=True):
        write_result(item, route, results.add())


def write_result(item: Written, route: Route, result: pb.WriteResult) -> None:
    """What became of one item on its route."""
    visible = route.capabilities.read_your_writes
    write_written(item, result, route.state.durability, visible=visible)


def minted_key(caller: Caller, request_id: str, index: int) -> str:
    """A key for a put that has none: the same for a retry with the same request id."""
    if request_id:
        return str(uuid.uuid5(POINT_NAMESPACE, f"{caller.tenant}\0{request_id}\0{index}"))
    return str(_uuid7())


def _uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562): 48 bits of milliseconds, the rest random."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (time.time_ns() // 1_000_000) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)
