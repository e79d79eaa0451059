"""Where calls that delete begin and end, when it takes several of them: their page tokens."""

from __future__ import annotations

from typing import Protocol

from memplane_adapters.contract import Cursor
from memplane_gateway.clock import Clock
from memplane_gateway.memory.lifecycle.deleting import Progress
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.tokens import PageTokens, Position, Question, binding_of


class Asked(Question, Protocol):
    """What is asked for over one or several calls."""

    @property
    def page_token(self) -> str:
        """Of the call before; empty in the first."""
        ...


class Resuming:
    """Opens and seals the tokens, which say where the next call goes on and under which revision."""

    def __init__(self, clock: Clock, tokens: PageTokens) -> None:
        self._clock = clock
        self._tokens = tokens

    def begin(self, caller: Caller, asked: Asked) -> Progress:
        """Where a call begins. Raises INVALID_ARGUMENT for a token of another question."""
        if not asked.page_token:
            return Progress(self._clock.revision())
        position = self._tokens.open(asked.page_token, binding_of(caller, asked), self._clock.now())
        return Progress(position.since, position.cursor)

    def end(
        self, caller: Caller, asked: Asked, progress: Progress, following: Cursor | None
    ) -> None:
        """A call is over, and the next one goes on behind a cursor; None: there is none."""
        progress.over = True
        if following is not None:
            position = Position(following, since=progress.bound)
            binding = binding_of(caller, asked)
            progress.token = self._tokens.seal(position, binding, self._clock.now())
