"""Namespaces: requests to domain values, pages to replies."""

from __future__ import annotations

from collections.abc import Sequence

from memplane.v1 import namespace_pb2 as pb
from memplane_gateway.memory.questions import NamespacePage, NamespaceQuery
from memplane_gateway.wire.memories import read_kind, read_labels
from memplane_gateway.wire.queries import read_page_size
from memplane_gateway.wire.questions import question_hash
from memplane_gateway.wire.violations import Violations


def read_namespaces(message: pb.ListNamespacesRequest, violations: Violations) -> NamespaceQuery:
    """A page of namespaces to ask for."""
    if message.max_depth < 0:
        violations.add("max_depth", "is negative; 0 means that namespaces are not cut")
    unbound = ("page_token", "page_size", "consistency_token")
    return NamespaceQuery(
        kind=read_kind(message.kind, "kind", violations),
        binding=question_hash("ListNamespaces", message, *unbound),
        prefix=_read_pattern(message.prefix, "prefix", violations),
        suffix=_read_pattern(message.suffix, "suffix", violations),
        max_depth=message.max_depth,
        page_size=read_page_size(message.page_size, "page_size", violations),
        page_token=message.page_token,
    )


def write_namespaces(page: NamespacePage, message: pb.ListNamespacesResponse) -> None:
    """Set a reply to a page."""
    for labels in page.namespaces:
        message.namespaces.add(labels=labels)
    message.next_page_token = page.next_page_token
    message.incomplete = page.incomplete


def _read_pattern(
    patterns: Sequence[pb.LabelPattern], path: str, violations: Violations
) -> tuple[str | None, ...]:
    for index, each in enumerate(patterns):
        if each.WhichOneof("pattern") is None or (each.HasField("any") and not each.any):
            violations.add(f"{path}[{index}]", "is empty; give a label, or any")
    # One letter stands for any label, which has nothing to be checked.
    labels = [each.label if each.WhichOneof("pattern") == "label" else "x" for each in patterns]
    checked = read_labels(labels, path, violations)
    return tuple(
        None if each.any else label for each, label in zip(patterns, checked, strict=False)
    )
