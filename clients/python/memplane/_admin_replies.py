"""From reply messages about the gateway itself to what callers get: status, outbox, sweeps. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from memplane import _enums, _replies, _values
from memplane._enums import Kind, SweepCause
from memplane._status import (
    Capabilities,
    ControlStatus,
    OutboxEntry,
    OutboxResult,
    OutboxStatus,
    RouteCapabilities,
    RouteStatus,
    Status,
)
from memplane._sweeps import (
    RenewalStatus,
    SweeperStatus,
    SweepExample,
    SweepFailure,
    SweepResult,
    SweepRule,
    SweepRun,
)
from memplane.v1 import admin_service_pb2, error_reason_pb2, sweep_pb2


def capabilities(response: admin_service_pb2.GetCapabilitiesResponse) -> Capabilities:
    """What the gateway can do; kinds that are unknown here are left out."""
    routes = {}
    for route in response.routes:
        kind = _enums.from_wire(_enums.Kind, route.kind)
        if kind is not None:
            routes[kind] = _route_capabilities(kind, route)
    return Capabilities(routes, dict(response.limits))


def _route_capabilities(
    kind: _enums.Kind, route: admin_service_pb2.RouteCapabilities
) -> RouteCapabilities:
    facts = route.capabilities
    pushdowns = (
        (_enums.from_wire(_enums.Op, each.op), _enums.from_wire(_enums.Pushdown, each.pushdown))
        for each in facts.filters
    )
    levels = (_enums.from_wire(_enums.Durability, each) for each in facts.durability)
    return RouteCapabilities(
        kind=kind,
        store=route.store,
        adapter=route.adapter,
        auto_mode=_enums.from_wire(_enums.Mode, route.auto_mode) or _enums.Mode.UNKNOWN,
        embedding=_replies.embedding(route.embedding) if route.HasField("embedding") else None,
        filters={op: how or _enums.Pushdown.UNKNOWN for op, how in pushdowns if op is not None},
        conditional_write=_enums.from_wire(_enums.ConditionalWrite, facts.conditional_write)
        or _enums.ConditionalWrite.UNKNOWN,
        ordered_scan=facts.ordered_scan,
        vector=facts.vector,
        keyword=facts.keyword,
        hybrid=facts.hybrid,
        exact_search=facts.exact_search,
        approximate=facts.approximate,
        expiry=facts.expiry,
        exact_count=facts.exact_count,
        read_your_writes=facts.read_your_writes,
        vectorless=facts.vectorless,
        atomic=facts.atomic,
        durability=tuple(level or _enums.Durability.UNKNOWN for level in levels),
        isolation=facts.isolation,
        max_batch_items=facts.max_batch_items or None,
        max_batch_bytes=facts.max_batch_bytes or None,
        max_item_bytes=facts.max_item_bytes or None,
        max_dimension=facts.max_dimension or None,
        max_metadata_bytes=facts.max_metadata_bytes or None,
    )


def status(response: admin_service_pb2.GetStatusResponse) -> Status:
    """How the gateway fares; kinds that are unknown here are left out."""
    routes = {}
    for route in response.routes:
        kind = _enums.from_wire(_enums.Kind, route.kind)
        if kind is not None:
            routes[kind] = _route_status(kind, route)
    return Status(
        version=response.version,
        start_time=_replies.time_of(response.HasField("start_time"), response.start_time),
        routes=routes,
        notices=tuple(response.notices),
        control=_control_status(response.control) if response.HasField("control") else None,
        sweeper=sweeper(response.sweeper) if response.HasField("sweeper") else None,
    )


def _control_status(control: admin_service_pb2.ControlStatus) -> ControlStatus:
    return ControlStatus(
        store=control.store,
        adapter=control.adapter,
        shared=control.shared,
        state=_enums.from_wire(_enums.RouteState, control.state) or _enums.RouteState.UNKNOWN,
        durability=_enums.from_wire(_enums.Durability, control.durability)
        or _enums.Durability.UNKNOWN,
    )


def _route_status(kind: _enums.Kind, route: admin_service_pb2.RouteStatus) -> RouteStatus:
    reasons = error_reason_pb2.ErrorReason
    error = ""
    if route.error in reasons.values() and route.error:
        error = reasons.Name(route.error).removeprefix("ERROR_REASON_")
    return RouteStatus(
        kind=kind,
        store=route.store,
        adapter=route.adapter,
        state=_enums.from_wire(_enums.RouteState, route.state) or _enums.RouteState.UNKNOWN,
        error=error,
        message=route.message,
        persistent=route.persistent,
        durability=_enums.from_wire(_enums.Durability, route.durability)
        or _enums.Durability.UNKNOWN,
        rows=route.rows if route.rows >= 0 else None,
        size_bytes=route.size_bytes if route.size_bytes >= 0 else None,
        embedding=_replies.embedding(route.embedding) if route.HasField("embedding") else None,
        ping_seconds=route.ping_us / 1e6 if route.ping_us >= 0 else None,
        last_backup_time=_replies.time_of(
            route.HasField("last_backup_time"), route.last_backup_time
        ),
        durability_why=route.durability_why,
        replicas=route.replicas if route.HasField("replicas") else None,
        outbox=OutboxStatus(
            route.outbox.waiting,
            route.outbox.dead,
            route.outbox.size_bytes,
            _replies.time_of(route.outbox.HasField("oldest_time"), route.outbox.oldest_time),
        )
        if route.HasField("outbox")
        else None,
        renewals=renewals(route.renewals) if route.HasField("renewals") else None,
    )


def outbox_entry(message: admin_service_pb2.OutboxEntry) -> OutboxEntry:
    """One write in the outbox."""
    operation = _enums.from_wire(_enums.OutboxOperation, message.operation)
    return OutboxEntry(
        id=message.id,
        tenant=message.tenant,
        ref=_replies.ref(message.ref) if message.HasField("ref") else None,
        operation=operation or _enums.OutboxOperation.UNKNOWN,
        spool_time=_replies.time_of(message.HasField("spool_time"), message.spool_time),
        size_bytes=message.size_bytes,
        error=_replies.item_error(message.error) if message.HasField("error") else None,
    )


def outbox_results(
    results: Sequence[admin_service_pb2.OutboxResult], asked: int
) -> tuple[OutboxResult, ...]:
    """What became of entries."""
    _replies.one(results, asked)
    return tuple(
        OutboxResult(each.id, _replies.item_error(each.error) if each.HasField("error") else None)
        for each in results
    )


def swept(responses: Sequence[sweep_pb2.SweepMemoriesResponse], *, dry_run: bool) -> SweepResult:
    """What the calls of one sweep did together."""
    examples = [
        SweepExample(rule, _replies.ref(each.ref))
        for response in responses
        for each in response.examples
        if (rule := _rule(each.rule)) is not None
    ]
    return SweepResult(
        counts=_counts(each for response in responses for each in response.counts),
        examples=tuple(examples[:100]),
        failures=_failures(each for response in responses for each in response.failures),
        next_page_token=responses[-1].next_page_token,
        dry_run=dry_run,
    )


def sweeper(message: sweep_pb2.SweeperStatus) -> SweeperStatus:
    """How sweeps fare."""
    has = message.HasField
    return SweeperStatus(
        on=message.on,
        interval_seconds=message.interval_us / 1e6,
        current=_run(message.current) if has("current") else None,
        last=_run(message.last) if has("last") else None,
        next_time=_values.moment_of(message.next_time) if has("next_time") else None,
    )


def renewals(message: sweep_pb2.RenewalStatus) -> RenewalStatus:
    """What became of renewals."""
    return RenewalStatus(message.renewed, message.failed, message.skipped)


def _run(message: sweep_pb2.SweepRun) -> SweepRun:
    has = message.HasField
    return SweepRun(
        start_time=_values.moment_of(message.start_time) if has("start_time") else None,
        end_time=_values.moment_of(message.end_time) if has("end_time") else None,
        counts=_counts(message.counts),
        failures=_failures(message.failures),
    )


def _counts(messages: Iterable[sweep_pb2.SweepCount]) -> Mapping[SweepRule, int]:
    """Counts by rule; those of kinds that are unknown here are left out."""
    counts: dict[SweepRule, int] = {}
    for message in messages:
        rule = _rule(message.rule)
        if rule is not None:
            counts[rule] = counts.get(rule, 0) + message.count
    return MappingProxyType(counts)


def _rule(message: sweep_pb2.SweepRule) -> SweepRule | None:
    kind = _enums.from_wire(Kind, message.kind)
    cause = _enums.from_wire(SweepCause, message.cause) or SweepCause.UNKNOWN
    return None if kind is None else SweepRule(kind, cause, tuple(message.namespace))


def _failures(messages: Iterable[sweep_pb2.SweepFailure]) -> tuple[SweepFailure, ...]:
    return tuple(
        SweepFailure(_enums.from_wire(Kind, each.kind), _replies.item_error(each.error))
        for each in messages
    )
