"""Statistics: requests to domain values, figures to replies."""

from __future__ import annotations

from memplane.v1 import statistics_pb2 as pb
from memplane_adapters.contract import Kind
from memplane_gateway.memory.questions import Selection, Statistics
from memplane_gateway.wire.filters import read_filter
from memplane_gateway.wire.memories import KIND_NUMBERS, read_kind, read_labels
from memplane_gateway.wire.queries import write_report
from memplane_gateway.wire.values import write_time
from memplane_gateway.wire.violations import Violations

_EVERY_KIND = (Kind.SEMANTIC, Kind.EPISODIC, Kind.PROCEDURAL)


def read_statistics(message: pb.GetStatisticsRequest, violations: Violations) -> list[Selection]:
    """What figures are asked of, by kind."""
    violations.count(message.kinds, "kinds", 0, len(_EVERY_KIND))
    kinds: list[Kind] = []
    for index, number in enumerate(message.kinds[: len(_EVERY_KIND)]):
        kind = read_kind(number, f"kinds[{index}]", violations)
        if kind in kinds:
            violations.add(f"kinds[{index}]", f"the same kind as kinds[{kinds.index(kind)}]")
        kinds.append(kind)
    namespace = read_labels(message.namespace, "namespace", violations)
    tree = read_filter(message.filter, "filter", violations) if message.HasField("filter") else None
    return [
        Selection(kind, namespace, message.exact_namespace, tree) for kind in kinds or _EVERY_KIND
    ]


def write_statistics(kind: Kind, figures: Statistics, message: pb.KindStatistics) -> None:
    """Set a message to the figures of one kind."""
    message.kind = KIND_NUMBERS[kind]
    message.count = figures.count
    if figures.oldest is not None:
        write_time(figures.oldest, message.oldest)
    if figures.newest is not None:
        write_time(figures.newest, message.newest)
    if figures.mean_importance is not None:
        message.mean_importance = figures.mean_importance
    message.importance_count = figures.importance_count
    message.truncated = figures.truncated
    message.incomplete = figures.incomplete
    write_report(figures.filter, message.filter)
