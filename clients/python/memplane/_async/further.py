"""Calls that go on with further ones, until the gateway has nothing left to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from memplane._async.connection import AsyncConnection
from memplane._errors import MemplaneError
from memplane._requests import WriteOptions
from memplane.v1 import consolidate_pb2, forget_pb2, purge_pb2

if TYPE_CHECKING:
    Request: TypeAlias = (
        purge_pb2.PurgeMemoriesRequest
        | forget_pb2.ForgetMemoriesRequest
        | consolidate_pb2.ConsolidateMemoriesRequest
    )

ResponseT = TypeVar(
    "ResponseT",
    purge_pb2.PurgeMemoriesResponse,
    forget_pb2.ForgetMemoriesResponse,
    consolidate_pb2.ConsolidateMemoriesResponse,
)

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


async def call_to_the_end(
    connection: AsyncConnection,
    method: str,
    request: Request,
    response_type: type[ResponseT],
    *,
    options: WriteOptions,
    timeout: float | None,
    counted: Callable[[Sequence[ResponseT]], int],
    on_progress: Callable[[int], object] | None = None,
) -> list[ResponseT]:
    """Makes calls until one has no token, each with a request id of its own.

    Args:
        connection: The way to the gateway.
        method: The path of the method.
        request: The request; its request id and page token are set here.
        response_type: The class of the responses.
        options: Where the request ids come from.
        timeout: Seconds of each call; None means the client's.
        counted: How many memories responses say were deleted.
        on_progress: Told that number after each call.

    Raises:
        MemplaneError: A call failed; a note on it says what the others had done.
    """
    done: list[ResponseT] = []
    while not done or request.page_token:
        request.request_id = options.request_id_of(len(done))
        try:
            response = await connection.call(method, request, response_type, timeout)
        except MemplaneError as error:
            if done and not request.dry_run:
                error.add_note(
                    f"{counted(done)} memories were deleted by the calls before this one"
                )
            raise
        done.append(response)
        request.page_token = response.next_page_token
        if on_progress is not None:
            on_progress(counted(done))
    return done
