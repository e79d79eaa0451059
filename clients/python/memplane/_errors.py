"""The exceptions of this library: one class a canonical gRPC code, under `MemplaneError`.

Calls that the gateway refuses, items that it refuses, and arguments that this library refuses before
it sends anything all raise these classes, and nothing else does.
"""

# ruff: noqa: N818 (the names of the canonical codes are the vocabulary of the contract)

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Self, TypedDict, Unpack

UNSPECIFIED: Final = "UNSPECIFIED"


class Code(StrEnum):
    """The canonical gRPC codes of errors."""

    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule of a request."""

    field: str
    """The path of the field as the contract names it, for example `puts[0].memory.importance`."""
    description: str
    """What is wrong, as a sentence."""


class Details(TypedDict, total=False):
    """What an error may carry beside its message; see the attributes of `MemplaneError`."""

    reason: str
    metadata: Mapping[str, str]
    violations: Sequence[Violation]
    retry_after: float | None
    ambiguous: bool


class MemplaneError(Exception):
    """Something failed. Catch this for everything, or a subclass for one code.

    Attributes:
        code: The canonical gRPC code.
        reason: The stable name of what went wrong, an `ErrorReason` of the contract without its
            prefix, for example "ETAG_MISMATCH"; "UNSPECIFIED" where the gateway gave none.
        message: A sentence for people.
        metadata: Further facts by name; which ones depends on the reason.
        violations: Every broken rule of the request, where the request was at fault.
        retry_after: Seconds after which it is worth trying again. None means unknown.
        ambiguous: Whether a write may have taken effect all the same. Trying again with the same
            request id (and keys) is safe.
    """

    code: ClassVar[Code] = Code.UNKNOWN

    def __init__(self, message: str, **details: Unpack[Details]) -> None:
        super().__init__(message)
        self.message = message
        self.reason: str = details.get("reason", UNSPECIFIED)
        self.metadata: dict[str, str] = dict(details.get("metadata", {}))
        self.violations: tuple[Violation, ...] = tuple(details.get("violations", ()))
        self.retry_after: float | None = details.get("retry_after")
        self.ambiguous: bool = details.get("ambiguous", False)

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason != UNSPECIFIED else ""
        return f"{self.code}{reason}: {self.message}"

    def details(self) -> Details:
        """All attributes but the message and the code, as the arguments that make them."""
        return {
            "reason": self.reason,
            "metadata": self.metadata,
            "violations": self.violations,
            "retry_after": self.retry_after,
            "ambiguous": self.ambiguous,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(type(self), **self.details()), (self.message,)


class InvalidArgument(MemplaneError, ValueError):
    """The request breaks a rule of its shape; `violations` says which. Nothing was done."""

    code = Code.INVALID_ARGUMENT

    @classmethod
    def at(cls, field: str, description: str) -> Self:
        """The error of one field that this library refuses before it sends anything."""
        return cls(
            f"{field}: {description}",
            reason="INVALID_REQUEST",
            metadata={"violations": "1"},
            violations=(Violation(field, description),),
        )


class NotFound(MemplaneError):
    """There is no such memory, where there must be one."""

    code = Code.NOT_FOUND


class AlreadyExists(MemplaneError):
    """A memory is there where there must be none, or a request id was used for something else."""

    code = Code.ALREADY_EXISTS


class Aborted(MemplaneError):
    """The memory has changed: its etag is now `metadata["etag"]`. Read it again."""

    code = Code.ABORTED


class StateConflict(Aborted):
    """A state was written by another writer meanwhile, and the two changes do not go together.

    Nothing was written here. Run the block again, or use `update`, which does that by itself.

    Attributes:
        keys: The names that both writers touched.
        base: The state as it was read.
        mine: The state as it was to be written.
        theirs: The state as it is now. None where it is gone.
    """

    def __init__(
        self,
        message: str,
        *,
        keys: Sequence[str] = (),
        base: Mapping[str, Any] | None = None,
        mine: Mapping[str, Any] | None = None,
        theirs: Mapping[str, Any] | None = None,
        **details: Unpack[Details],
    ) -> None:
        super().__init__(message, **details)
        self.keys: tuple[str, ...] = tuple(keys)
        self.base: dict[str, Any] = dict(base or {})
        self.mine: dict[str, Any] = dict(mine or {})
        self.theirs: dict[str, Any] | None = None if theirs is None else dict(theirs)

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(
            type(self),
            keys=self.keys,
            base=self.base,
            mine=self.mine,
            theirs=self.theirs,
            **self.details(),
        )
        return make, (self.message,)


class FailedPrecondition(MemplaneError):
    """The gateway or its store is not in a state in which this can work."""

    code = Code.FAILED_PRECONDITION


class GatewayNotStarted(FailedPrecondition):
    """`memplane.local` could not start a gateway; the message holds the gateway's own words.

    Attributes:
        status: The exit status of the gateway, 78 where its configuration is wrong or another gateway
            has the directory; the number of a signal that ended it, negative. None where none was run.
        said: What the gateway said of it; "" for nothing.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        said: str = "",
        **details: Unpack[Details],
    ) -> None:
        super().__init__(message, **details)
        self.status: int | None = status
        self.said: str = said

    def __reduce__(self) -> tuple[Any, ...]:
        make = functools.partial(type(self), status=self.status, said=self.said, **self.details())
        return make, (self.message,)


class Unimplemented(MemplaneError):
    """The route's store cannot do this, or the gateway is older than this library."""

    code = Code.UNIMPLEMENTED


class ResourceExhausted(MemplaneError):
    """A quota is used up, the gateway is overloaded, or a message is too large."""

    code = Code.RESOURCE_EXHAUSTED


class Unavailable(MemplaneError):
    """The gateway, or its store, cannot be reached."""

    code = Code.UNAVAILABLE


class DeadlineExceeded(MemplaneError):
    """The time was up. A write may have taken effect: see `ambiguous`."""

    code = Code.DEADLINE_EXCEEDED


class DataLoss(MemplaneError):
    """What is stored is damaged."""

    code = Code.DATA_LOSS


class Unauthenticated(MemplaneError):
    """The gateway does not know who calls."""

    code = Code.UNAUTHENTICATED


class PermissionDenied(MemplaneError):
    """The caller may not do this."""

    code = Code.PERMISSION_DENIED


class Cancelled(MemplaneError):
    """The caller gave up, or the client was closed."""

    code = Code.CANCELLED


class OutOfRange(MemplaneError):
    """The request leads past the end."""

    code = Code.OUT_OF_RANGE


class Internal(MemplaneError):
    """A fault of the gateway itself, which is always a bug of ours."""

    code = Code.INTERNAL


class Unknown(MemplaneError):
    """Something between this library and the gateway failed in a way that neither foresees."""

    code = Code.UNKNOWN


_CLASSES: Final[dict[str, type[MemplaneError]]] = {
    each.code.name: each for each in MemplaneError.__subclasses__()
}
# The canonical numbers, in which CANCELLED is 1.
_NUMBERS: Final = tuple(Code)


def error_class(code: str | int) -> type[MemplaneError]:
    """The exception class of a canonical code, by name or number; `Unknown` for a strange one."""
    if isinstance(code, int):
        code = _NUMBERS[code - 1] if 1 <= code <= len(_NUMBERS) else Code.UNKNOWN
    return _CLASSES.get(code, Unknown)
