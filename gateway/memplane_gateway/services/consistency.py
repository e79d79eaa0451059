"""Consistency tokens: how a write is seen by a later read at another gateway.

Only stores whose reads may lag behind give any (`Eventual`). A token holds what these said after a
write, sealed for the tenant; a gateway that is handed one lets its stores wait for that.
"""

from __future__ import annotations

from collections.abc import Iterable

from memplane_adapters.contract import Kind
from memplane_gateway.clock import Clock
from memplane_gateway.errors import MemplaneError
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.tokens import PageTokens
from memplane_gateway.routes import Router
from memplane_gateway.wire.violations import Violations


class Consistency:
    """Gives tokens out and heeds them."""

    def __init__(self, router: Router, tokens: PageTokens, clock: Clock) -> None:
        self._router = router
        self._tokens = tokens
        self._clock = clock

    def after(self, caller: Caller, kinds: Iterable[Kind]) -> str:
        """What a write to these kinds returns; empty where every read sees it."""
        seen = {
            kind.value: tokens
            for kind in dict.fromkeys(kinds)
            if (tokens := self._router[kind].consistency_tokens(caller.tenant))
        }
        if not seen:
            return ""
        return self._tokens.seal_seen(seen, _binding(caller), self._clock.now())

    def heed(self, token: str, caller: Caller, violations: Violations) -> None:
        """From now on reads here see the write that returned the token."""
        if not token:
            return
        try:
            seen = self._tokens.open_seen(token, _binding(caller), self._clock.now())
        except MemplaneError:
            violations.add("consistency_token", "was not given out by this gateway, or has expired")
            return
        for kind, tokens in seen.items():
            self._router[Kind(kind)].reach(tokens)


def _binding(caller: Caller) -> bytes:
    return caller.tenant.encode() + b"\0consistency"
