"""When a write may take effect."""

from __future__ import annotations

from memplane_gateway.errors import Code, MemplaneError, Reason
from memplane_gateway.memory.model import Must, Precondition, Record
from memplane_gateway.memory.shelf import etag_of


def refusal(precondition: Precondition | None, existing: Record | None) -> MemplaneError | None:
    """Why a write must not take effect against what is there (None: nothing alive), or None."""
    if precondition is None:
        return None
    if precondition.must is Must.ABSENT:
        if existing is None:
            return None
        return MemplaneError(
            Code.ALREADY_EXISTS,
            Reason.MEMORY_EXISTS,
            "the memory is already there, and if_absent was asked",
            metadata={"etag": etag_of(existing)},
        )
    if precondition.must is Must.PRESENT:
        return None if existing is not None else not_found()
    if existing is None:
        return MemplaneError(
            Code.FAILED_PRECONDITION,
            Reason.ETAG_ON_MISSING,
            "if_match was asked, but the memory is not there",
        )
    current = etag_of(existing)
    if precondition.etag == current:
        return None
    return MemplaneError(
        Code.ABORTED,
        Reason.ETAG_MISMATCH,
        "the memory has changed since; read it again and retry with its etag",
        metadata={"etag": current},
    )


def not_found() -> MemplaneError:
    """NOT_FOUND of a memory that must be there."""
    return MemplaneError(Code.NOT_FOUND, Reason.MEMORY_NOT_FOUND, "there is no such memory")
