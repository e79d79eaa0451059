"""The namespaces that hold memories: a walk by place that leaps from one to the first row behind it.

Rows are read a few at a time, more where they lie in many namespaces. A cursor behind all keys of a
namespace, or behind all that is below it, is made of what no label and no key can be.
"""

from __future__ import annotations

from dataclasses import replace

from memplane_adapters.contract import Cursor, Scan
from memplane_gateway.clock import Clock
from memplane_gateway.deadline import is_late, remaining
from memplane_gateway.limits import KEY_BYTES, LABEL_BYTES, NAMESPACE_LABELS
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.questions import NamespacePage, NamespaceQuery
from memplane_gateway.memory.shelf import Shelf
from memplane_gateway.memory.tokens import PageTokens, Position, binding_of
from memplane_gateway.memory.walking import walk

_LAST = "\U0010ffff"
_BEHIND_LABELS = _LAST * (LABEL_BYTES // 4 + 1)
_BEHIND_KEYS = _LAST * (KEY_BYTES // 4 + 1)

_FEWEST_ROWS = 4
_MOST_ROWS = 256
_ROWS_A_NAMESPACE = 4
_BYTES = 2**18


class NamespaceLister:
    """Lists the namespaces of one shelf."""

    def __init__(self, shelf: Shelf, clock: Clock, tokens: PageTokens, scan_budget: int) -> None:
        self._shelf = shelf
        self._clock = clock
        self._tokens = tokens
        self._scan_budget = scan_budget

    async def page(self, caller: Caller, query: NamespaceQuery) -> NamespacePage:
        """The next page. Raises INVALID_ARGUMENT for a token of another question."""
        now, time_left = self._clock.now(), remaining()
        binding = binding_of(caller, query)
        at: Position | None = None
        if query.page_token:
            at = self._tokens.open(query.page_token, binding, now)
        scope = query.selection.scope(caller.tenant, now)
        found: list[tuple[str, ...]] = []
        budget, rows_at_once = self._scan_budget, _FEWEST_ROWS
        while True:
            scan = Scan(scope=scope, limit=min(rows_at_once, query.page_size - len(found)))
            scan = replace(_from(at, scan, query), budget=budget)
            rows, end = await walk(self._shelf, scan, None, max_bytes=_BYTES)
            seen = list(dict.fromkeys(row.record.address.namespace for row in rows))
            for each in filter(query.matches, seen):
                cut = each[: query.max_depth or None]
                if found[-1:] != [cut] and not (at is not None and _has_shown(at, cut, query)):
                    found.append(cut)
            if end.next is None:
                return NamespacePage(tuple(found))
            # What lies between the last row and there has expired: its namespace may have others.
            at = Position(end.next, second=seen[-1:] == [end.next.namespace])
            budget -= max(end.scanned, 1)
            if len(found) >= query.page_size or budget <= 0 or is_late(time_left):
                return NamespacePage(tuple(found), self._tokens.seal(at, binding, now))
            rows_at_once = max(_FEWEST_ROWS, min(_MOST_ROWS, _ROWS_A_NAMESPACE * len(seen)))


def _from(at: Position | None, scan: Scan, query: NamespaceQuery) -> Scan:
    """The scan from a position on; where its namespace has been seen, from behind it."""
    if at is None:
        return scan
    if not at.second:
        return replace(scan, after=at.cursor)
    return replace(scan, after=behind(at.cursor.namespace, query), resumes=at.cursor)


def behind(namespace: tuple[str, ...], query: NamespaceQuery) -> Cursor:
    """Where the next namespace that may be shown can begin at the earliest."""
    wrong = query.mismatch(namespace)
    if wrong is not None:
        below = namespace[: wrong + 1]
    elif query.max_depth and query.matches(namespace) and len(namespace) >= query.max_depth:
        below = namespace[: query.max_depth]
    else:
        return Cursor(0, namespace, _BEHIND_KEYS)
    if len(below) == NAMESPACE_LABELS:
        return Cursor(0, below, _BEHIND_KEYS)
    return Cursor(0, (*below, _BEHIND_LABELS), "")


def _has_shown(at: Position, cut: tuple[str, ...], query: NamespaceQuery) -> bool:
    """Whether a namespace was shown before the walk came here."""
    before = at.cursor.namespace
    return at.second and query.matches(before) and before[: query.max_depth or None] == cut
