"""Opening a collection that others made; what goes wrong is said to whoever runs the command."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final

from memplane_adapters.contract import ForeignCollection, StoreError, StoreReason
from memplane_gateway.adopting.adoption import Source
from memplane_gateway.config.problems import nearest_and_list

_PASSES: Final = (
    StoreReason.UNAVAILABLE,
    StoreReason.INTERRUPTED,
    StoreReason.TIMEOUT,
    StoreReason.EXHAUSTED,
)


class SourceError(Exception):
    """The collection cannot be read; the message is for whoever runs the command."""

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """Whether it may go another time without anybody's help."""


@contextlib.asynccontextmanager
async def opened(source: Source) -> AsyncIterator[ForeignCollection]:
    """The collection, ready to be read. Raises SourceError, also for what is read in the block."""
    collection = source.connect()
    try:
        await collection.open()
        yield collection
    except StoreError as error:
        raise _told(error, source.collection) from error
    finally:
        await collection.close()


def _told(error: StoreError, name: str) -> SourceError:
    message = str(error)
    if "collections" in error.metadata:
        there = [each for each in error.metadata["collections"].split(", ") if each]
        message += f" ({nearest_and_list(name, there, 'there are') or 'there is none'})"
    return SourceError(message, may_pass=error.reason in _PASSES)
