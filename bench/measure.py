"""Load and what it took. Clocks are read here; nothing is ever judged by them."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of calls took."""

    p50_ms: float
    p99_ms: float
    per_second: float


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def sample(seconds: Sequence[float], elapsed: float) -> Sample:
    """Latencies of calls that took `elapsed` together."""
    return Sample(
        p50_ms=percentile(seconds, 0.50) * 1000,
        p99_ms=percentile(seconds, 0.99) * 1000,
        per_second=len(seconds) / elapsed,
    )


def median_of(samples: Sequence[Sample]) -> Sample:
    """The median of each number."""
    return Sample(
        p50_ms=statistics.median(one.p50_ms for one in samples),
        p99_ms=statistics.median(one.p99_ms for one in samples),
        per_second=statistics.median(one.per_second for one in samples),
    )


def ratios(pairs: Sequence[tuple[Sample, Sample]]) -> dict[str, float]:
    """The first over the second, of each pair before the median is taken."""
    p50 = [first.p50_ms / second.p50_ms for first, second in pairs]
    return {
        "p50_ratio": statistics.median(p50),
        "p50_ratio_lowest": min(p50),
        "p50_ratio_highest": max(p50),
        "per_second_ratio": statistics.median(
            first.per_second / second.per_second for first, second in pairs
        ),
    }


def added(pairs: Sequence[tuple[Sample, Sample]]) -> dict[str, float]:
    """The first less the second, as `ratios`."""
    return {
        "p50_added_ms": statistics.median(first.p50_ms - second.p50_ms for first, second in pairs),
        "p99_added_ms": statistics.median(first.p99_ms - second.p99_ms for first, second in pairs),
    }


async def load(
    call: Callable[[int], Awaitable[object]], *, calls: int, concurrency: int, first: int = 0
) -> Sample:
    """Makes calls numbered from `first`, so many at a time: one ends, the next begins.

    A call that fails ends the measurement.
    """
    seconds: list[float] = []
    numbers = iter(range(first, first + calls))

    async def worker(numbers: Iterator[int]) -> None:
        for number in numbers:
            start = time.perf_counter()
            await call(number)
            seconds.append(time.perf_counter() - start)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker(numbers))
    return sample(seconds, time.perf_counter() - begin)


def first_of(errors: BaseException) -> BaseException:
    """The first error of a group of groups, as a task group raises them."""
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs on the fastest event loop that is installed, as an agent that cares would."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return asyncio.run(main)
    return uvloop.run(main)
