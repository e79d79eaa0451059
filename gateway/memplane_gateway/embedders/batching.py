"""Batches across concurrent calls: what waits at the same time goes to the embedder together.

A text goes at once while nothing is under way; what comes meanwhile forms the next batch. Memories
and queries have a lane each, so a search never waits for the texts of a bulk load. A caller who gives
up leaves; the others hear nothing of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from memplane_adapters.contract import Vector
from memplane_gateway.deadline import remaining
from memplane_gateway.embedders.base import Around, Embedder, EmbedderError, EmbedderReason, Role

_LOG: Final = logging.getLogger(__name__)

ATTEMPTS: Final = 4
"""How often a text is sent when the embedder asks for patience, the first time included."""
PATIENCE_SECONDS: Final = 1.0
"""A batch that takes longer does not hold up the next one, where several may be under way."""
LONGEST_PAUSE_SECONDS: Final = 60.0
"""However long the embedder asks to be left alone, it is asked again after so long."""
BACKGROUND_SECONDS: Final = 30.0
"""How long a call without a deadline bears with pauses."""
SUSPICIOUS: Final = 8
"""So many texts of a call refused and none taken: the embedder is asked for one that it must take."""
_PLAIN: Final = "text"
_JITTER_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """What an embedder takes at a time."""

    items: int
    """Most texts in a batch."""
    size: int | None = None
    """Most bytes of their texts; a longer text is a batch of its own. None: any."""
    parallel: int = 1
    """Most batches under way, in each lane."""


class Batching(Around):
    """Gathers the texts of concurrent calls; each text is asked for once, whoever wants it."""

    def __init__(self, inner: Embedder, limits: Limits) -> None:
        super().__init__(inner)
        self._pause = _Pause()
        self._lanes = {role: _Lane(inner, role, limits, self._pause) for role in Role}
        self._pause.over = self._pump

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        """Waits for the batches that the texts go in.

        Fails when one of the texts does, or when the embedder asks for more patience than there is.
        Where texts are refused it fails when it has the vectors of all others, and has them told.
        """
        if not texts:
            return []
        return await self._lanes[role].embed(texts)

    async def close(self) -> None:
        """Ends what is under way; who still waits hears UNAVAILABLE."""
        self._pause.end()
        for lane in self._lanes.values():
            await lane.close()
        await self._inner.close()

    def _pump(self) -> None:
        for lane in self._lanes.values():
            lane.pump()


class _Pause:
    """The embedder has asked to be left alone for a while."""

    def __init__(self) -> None:
        self.over: Callable[[], None] = lambda: None
        self._error: EmbedderError | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def on(self) -> bool:
        return self._timer is not None

    def begin(self, seconds: float, error: EmbedderError) -> float:
        """Pauses for so long; of two that overlap, the one that ends later counts. Its end."""
        until = time.monotonic() + seconds
        if self._timer is not None:
            if until <= self._until:
                return self._until
            self._timer.cancel()
        self._until, self._error = until, error
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ended)
        return until

    def refusal(self, ends: float) -> EmbedderError | None:
        """Why a call that ends then need not wait; None: it may."""
        if self._timer is None or self._error is None or ends > self._until:
            return None
        left = self._until - time.monotonic()
        return self._error.again(retry_after=min(max(0.0, left), LONGEST_PAUSE_SECONDS))

    def end(self) -> None:
        """No pause any more; nobody is told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ended(self) -> None:
        self._timer = None
        self.over()


class _Call:
    """One caller: what he still lacks, what of it is not sent yet, and until when he waits."""

    __slots__ = ("done", "ends", "lacking", "made", "queue", "refusal", "refused")

    def __init__(self, texts: Iterable[str]) -> None:
        left = remaining()
        self.ends: Final = time.monotonic() + (BACKGROUND_SECONDS if left is None else left)
        self.queue: Final = deque(dict.fromkeys(texts))
        self.lacking: Final = set(self.queue)
        self.made: Final[dict[str, Vector | None]] = {}
        self.refused: Final[set[str]] = set()
        self.refusal: EmbedderError | None = None
        self.done: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()

    def vectors(self, texts: Iterable[str]) -> list[Vector | None]:
        """What was made of the texts. Raises EmbedderError where some were refused."""
        if self.refusal is not None:
            raise EmbedderError(
                self.refusal.message,
                reason=EmbedderReason.REFUSED,
                refused=self.refused,
                made=self.made,
            )
        return [self.made[text] for text in texts]

    def has(self, text: str) -> None:
        """No longer lacks the text."""
        self.lacking.discard(text)
        if not self.lacking and not self.done.done():
            self.done.set_result(None)


class _Batch:
    """Texts that are under way together."""

    __slots__ = ("slow", "task", "texts")

    def __init__(self, texts: list[str]) -> None:
        self.texts: Final = texts
        self.slow = False
        self.task: asyncio.Task[None] | None = None


class _Lane:
    """The texts of one role."""

    def __init__(self, inner: Embedder, role: Role, limits: Limits, pause: _Pause) -> None:
        self._inner: Final = inner
        self._role: Final = role
        self._limits: Final = limits
        self._pause: Final = pause
        # In the order of their arrival.
        self._calls: Final[dict[_Call, None]] = {}
        self._wanting: Final[dict[str, set[_Call]]] = {}
        self._running: Final[set[_Batch]] = set()
        self._under_way: Final[set[str]] = set()
        # Parts of batches that were refused, the next one last; and whether it is their turn.
        self._parts: Final[list[list[str]]] = []
        self._parts_turn = True
        self._sent: Final[dict[str, int]] = {}

    async def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        call = _Call(texts)
        if (error := self._pause.refusal(call.ends)) is not None:
            raise error
        self._calls[call] = None
        for text in call.lacking:
            self._wanting.setdefault(text, set()).add(call)
        self.pump()
        try:
            await call.done
        finally:
            self._leave(call)
            self.pump()  # a batch that ended before it began leaves its place to the next
        return call.vectors(texts)

    def pump(self) -> None:
        """Begins what can begin."""
        while self._may_begin():
            texts = self._next()
            if not texts:
                return
            self._begin(texts)

    async def close(self) -> None:
        tasks = [batch.task for batch in self._running if batch.task is not None]
        for call in list(self._calls):
            self._fail(call, _closed())
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what goes next ---

    def _may_begin(self) -> bool:
        if self._pause.on or len(self._running) >= self._limits.parallel:
            return False
        # Beside one that runs well only a full one: what waits a little goes together.
        return all(batch.slow for batch in self._running) or self._enough_waits()

    def _enough_waits(self) -> bool:
        """Whether a batch would be full: of what `_gathered` would put into it."""
        texts: set[str] = set()
        size = 0
        for call in self._calls:
            for text in call.queue:
                if text in texts or not self._lacks(call, text):
                    continue
                texts.add(text)
                size += self._weight(text)
                if len(texts) >= self._limits.items or self._too_heavy(size):
                    return True
        return False

    def _weight(self, text: str) -> int:
        """The bytes of a text, where they count."""
        return 0 if self._limits.size is None else len(text.encode(errors="replace"))

    def _too_heavy(self, size: int) -> bool:
        return self._limits.size is not None and size > self._limits.size

    def _next(self) -> list[str]:
        """Parts of what was refused and what nobody has sent yet, by turns."""
        while self._parts and (self._parts_turn or not self._waiting()):
            texts = [text for text in self._parts.pop() if self._is_open(text)]
            if texts:
                self._parts_turn = False
                return texts
        self._parts_turn = True
        return self._gathered()

    def _waiting(self) -> bool:
        return any(self._is_open(text) for call in self._calls for text in call.queue)

    def _is_open(self, text: str) -> bool:
        return text in self._wanting and text not in self._under_way

    def _gathered(self) -> list[str]:
        """A batch of one text from each call in turn, so that a large call leaves room for others."""
        texts: dict[str, None] = {}
        size = 0
        calls = deque(call for call in self._calls if call.queue)
        while calls and len(texts) < self._limits.items:
            call = calls.popleft()
            while call.queue and (call.queue[0] in texts or not self._lacks(call, call.queue[0])):
                call.queue.popleft()  # comes with another call's, or has come
            if not call.queue:
                continue
            weight = self._weight(call.queue[0])
            if texts and self._too_heavy(size + weight):
                continue
            size += weight
            texts[call.queue.popleft()] = None
            calls.append(call)
        return list(texts)

    def _lacks(self, call: _Call, text: str) -> bool:
        return text in call.lacking and text not in self._under_way

    # --- a batch ---

    def _begin(self, texts: list[str]) -> None:
        batch = _Batch(texts)
        self._running.add(batch)
        self._under_way.update(texts)
        # In a context of its own: the deadline of the caller who happens to begin it is not that of
        # the others.
        batch.task = asyncio.create_task(
            self._run(batch), name=f"embed-{self._role.value}", context=contextvars.Context()
        )

    async def _run(self, batch: _Batch) -> None:
        timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._is_slow, batch)
        try:
            made = await self._embedded(batch.texts)
            vectors = dict(zip(batch.texts, made, strict=True))
        except EmbedderError as error:
            self._settle(batch)
            self._failed(batch.texts, error)
        except asyncio.CancelledError:
            if batch in self._running:  # by the end of the event loop, and not by us
                self._settle(batch)
                self._fail_all(batch.texts, _closed())
            raise
        except Exception as error:  # noqa: BLE001 (logged, and told to those who wait)
            # Against the promise of embedders. Nobody may wait for ever for that.
            _LOG.exception("bug in an embedder")
            self._settle(batch)
            self._fail_all(batch.texts, error)
        else:
            self._settle(batch)
            for text, vector in vectors.items():
                self._deliver(text, vector)
        finally:
            timer.cancel()
            self._settle(batch)
            self.pump()

    async def _embedded(self, texts: list[str]) -> list[Vector | None]:
        try:
            return await self._inner.embed(texts, self._role)
        except EmbedderError as error:
            if not self._may_be_out_of_order(texts, error):
                raise
            refusal = error
        try:
            await self._inner.embed([_PLAIN], self._role)
        except EmbedderError as error:
            if error.reason is EmbedderReason.REFUSED:
                raise EmbedderError(
                    f"{error.message}; it takes no text at all",
                    reason=EmbedderReason.MISCONFIGURED,
                ) from error
        raise refusal

    def _may_be_out_of_order(self, texts: list[str], error: EmbedderError) -> bool:
        """Whether so much of a call is refused, and nothing taken, that it may not be for the texts.

        Else a call of many texts would ask for each of them before anybody hears what is wrong.
        """
        return (
            error.reason is EmbedderReason.REFUSED
            and len(texts) == 1
            and any(
                not call.made and len(call.refused) == SUSPICIOUS - 1
                for call in self._wanting.get(texts[0], ())
            )
        )

    def _is_slow(self, batch: _Batch) -> None:
        batch.slow = True
        self.pump()

    def _settle(self, batch: _Batch) -> None:
        if batch in self._running:
            self._running.remove(batch)
            self._under_way.difference_update(batch.texts)

    def _deliver(self, text: str, vector: Vector | None) -> None:
        self._sent.pop(text, None)
        for call in self._wanting.pop(text, ()):
            call.made[text] = vector
            call.has(text)

    def _refuse(self, text: str, error: EmbedderError) -> None:
        self._sent.pop(text, None)
        for call in self._wanting.pop(text, ()):
            call.refusal = error
            call.refused.add(text)
            call.has(text)

    # --- failures ---

    def _failed(self, texts: list[str], error: EmbedderError) -> None:
        sent, texts = len(texts), [text for text in texts if text in self._wanting]
        if error.reason is EmbedderReason.REFUSED and sent > 1:
            # One of them is the cause, and the others are to come through; also the last one that
            # is still wanted, for the cause may have been another.
            middle = len(texts) // 2
            self._parts.extend((texts[middle:], texts[:middle]))
        elif error.reason is EmbedderReason.REFUSED:
            for text in texts:  # one at most
                self._refuse(text, error)
        elif error.retryable and error.retry_after is not None:
            self._wait(texts, error, error.retry_after)
        else:
            self._fail_all(texts, error)

    def _wait(self, texts: list[str], error: EmbedderError, seconds: float) -> None:
        """Sends the texts again after a while, for those who have the time."""
        seconds = min(seconds, LONGEST_PAUSE_SECONDS)
        error = error.again(retry_after=seconds)
        tries = [self._sent.get(text, 0) + 1 for text in texts]
        self._sent.update(zip(texts, tries, strict=True))
        # So that gateways who were refused together do not come back together.
        jitter = random.uniform(0, _JITTER_SECONDS * 2 ** max(tries, default=0))  # noqa: S311
        until = self._pause.begin(seconds + jitter, error)
        self._fail_all([text for text in texts if self._sent[text] >= ATTEMPTS], error)
        for text in texts:
            for call in list(self._wanting.get(text, ())):
                if call.ends <= until:
                    self._fail(call, error.again())
        # Whoever else waits, and has less time than that, need not wait either.
        for call in list(self._calls):
            if call.ends <= until and not self._under_way & call.lacking:
                self._fail(call, error.again())
        self._parts.append(texts)

    def _fail_all(self, texts: Iterable[str], error: Exception) -> None:
        for text in texts:
            for call in list(self._wanting.get(text, ())):
                self._fail(call, error.again() if isinstance(error, EmbedderError) else error)

    def _fail(self, call: _Call, error: Exception) -> None:
        if not call.done.done():
            call.done.set_exception(error)
        self._leave(call)

    def _leave(self, call: _Call) -> None:
        """Forgets a call; a batch that nobody wants any more is ended."""
        if call not in self._calls:
            return
        del self._calls[call]
        for text in call.lacking:
            wanting = self._wanting[text]
            wanting.discard(call)
            if not wanting:
                del self._wanting[text]
                self._sent.pop(text, None)
        for batch in list(self._running):
            if not any(text in self._wanting for text in batch.texts):
                self._end(batch)

    def _end(self, batch: _Batch) -> None:
        # Settled at once: who wants one of its texts from now on has to send it again.
        self._settle(batch)
        if batch.task is not None:
            batch.task.cancel()


def _closed() -> EmbedderError:
    return EmbedderError(
        "the embedder is closed", reason=EmbedderReason.UNAVAILABLE, retryable=True
    )
