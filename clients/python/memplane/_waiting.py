"""What waits differently in the two clients: a pause, work that blocks, and a function of the caller."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import AsyncIterable, Callable, Coroutine, Generator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from enum import Enum
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, TypeVar

from memplane._errors import InvalidArgument

Given = ParamSpec("Given")
Result = TypeVar("Result")
Item = TypeVar("Item")
AsyncSource = Iterable[Item] | AsyncIterable[Item]
Source = Iterable[Item]
Opened = TypeVar("Opened", bound=AbstractAsyncContextManager[Any])


class End(Enum):
    """The type of what stands behind the last item."""

    END = "end"


END: Final = End.END


class AsyncWaiting:
    """Waits without holding up the event loop."""

    @staticmethod
    async def pause(seconds: float) -> None:
        """Lets time pass."""
        await asyncio.sleep(seconds)

    @staticmethod
    async def work(function: Callable[[], Result]) -> Result:
        """What a function gives that blocks: it runs in another thread."""
        return await asyncio.to_thread(function)

    @staticmethod
    async def answer(given: Any, field: str) -> Any:  # noqa: ARG004 (as of Waiting)
        """What a function has given; that of an async function is awaited."""
        return await given if inspect.isawaitable(given) else given


class Waiting:
    """Waits in its thread."""

    @staticmethod
    def pause(seconds: float) -> None:
        """Lets time pass."""
        time.sleep(seconds)

    @staticmethod
    def work(function: Callable[[], Result]) -> Result:
        """What a function gives that blocks."""
        return function()

    @staticmethod
    def answer(given: Any, field: str) -> Any:
        """What a function has given that stands in a field.

        Raises:
            InvalidArgument: It was an async function, whose work would never be done.
        """
        if inspect.isawaitable(given):
            if inspect.iscoroutine(given):
                given.close()
            raise InvalidArgument.at(
                field, "is an async function; this client takes plain ones, AsyncClient both"
            )
        return given


class AsyncItems(Generic[Item]):
    """Items one after the other, of an async iterable or a plain one."""

    def __init__(self, source: AsyncSource[Item]) -> None:
        """Raises InvalidArgument when it cannot be iterated over."""
        self._async = aiter(source) if isinstance(source, AsyncIterable) else None
        self._plain = _iterator(source) if self._async is None else iter(())

    async def next(self) -> Item | End:
        """The next one; END when there is none."""
        if self._async is not None:
            return await anext(self._async, END)
        return next(self._plain, END)


class Items(Generic[Item]):
    """Items one after the other."""

    def __init__(self, source: Source[Item]) -> None:
        """Raises InvalidArgument when it cannot be iterated over."""
        self._plain = _iterator(source)

    def next(self) -> Item | End:
        """The next one; END when there is none."""
        return next(self._plain, END)


def _iterator(source: Any) -> Iterator[Any]:
    if isinstance(source, str | bytes) or not isinstance(source, Iterable):
        raise InvalidArgument.at("puts", f"must be an iterable of memories, not {source!r:.64}")
    return iter(source)


class AsyncOpening(Generic[Opened]):
    """What opens something: to be awaited, or entered at once (`async with`)."""

    def __init__(self, opening: Coroutine[Any, Any, Opened]) -> None:
        self._opening = opening
        self._opened: Opened | None = None

    def __await__(self) -> Generator[Any, Any, Opened]:
        return self._opening.__await__()

    async def __aenter__(self) -> Opened:
        self._opened = await self._opening
        await self._opened.__aenter__()
        return self._opened

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._opened is not None, "entered"
        await self._opened.__aexit__(kind, error, traceback)


def async_opened(
    function: Callable[Given, Coroutine[Any, Any, Opened]],
) -> Callable[Given, AsyncOpening[Opened]]:
    """Makes `async with function(...)` mean `async with await function(...)`."""

    @functools.wraps(function)
    def opening(*args: Given.args, **named: Given.kwargs) -> AsyncOpening[Opened]:
        return AsyncOpening(function(*args, **named))

    return opening


def opened(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Nothing: what a plain function returns can be entered."""
    return function
