"""How old a memory is, and what its importance is worth by then. Times and periods are microseconds."""

from __future__ import annotations

from memplane_gateway.memory.model import Record
from memplane_gateway.memory.search.weights import importance, recency


def born(record: Record) -> int:
    """From when on its age counts: its event_time, else its create_time."""
    episode = record.content.episode
    if episode is None or episode.event_time is None:
        return record.create_time
    return episode.event_time


def decayed_importance(record: Record, now: int, half_life: int | None) -> float:
    """Importance * 0.5^(age / half_life), 0 to 1; without a half-life it does not decay.

    What does not say its importance counts as `weights.UNSAID_IMPORTANCE`, what lies ahead as new.
    """
    said = importance(record.content.importance)
    return said if half_life is None else said * recency(born(record), now, half_life)
