"""The calls that write: put, update, delete, one or many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from memplane import _requests
from memplane._async.connection import MEMORY_SERVICE, AsyncBase
from memplane._enums import Durability, Kind
from memplane._errors import MemplaneError
from memplane._inputs import UNSET, Delete, IndexedTexts, OrUnset, Put, Update
from memplane._models import Episode, Memory, Ref, WriteResult, WriteResults
from memplane._replies import Written
from memplane._values import ValueLike
from memplane._vectors import VectorLike

# ruff: noqa: ASYNC109 (`timeout` is a deadline that travels with the call)


class AsyncWriting(AsyncBase):
    """Writes memories.

    All calls take these: `min_durability` refuses the call with FailedPrecondition when the route
    reaches less; `request_id` (at most 128 bytes) makes a retry recognisable, and is minted when not
    given, a new one for each call: give your own to send a call again, with the same arguments, and it
    takes effect once (`replayed` says that it had); `timeout` is in seconds, None means the client's.

    Keys left empty are minted here, as UUIDv7, so that a retry cannot make a second memory; together
    with a `request_id` of the caller's they are left to the gateway, which derives them from it.
    """

    async def put(
        self,
        ref: Ref | Kind | str,
        key: str | None = None,
        *,
        text: str = "",
        attributes: Mapping[str, ValueLike] | None = None,
        value: OrUnset = UNSET,
        episode: Episode | None = None,
        importance: float | None = None,
        pinned: bool = False,
        vector: VectorLike | None = None,
        indexed_texts: IndexedTexts = (),
        ttl: timedelta | float | None = None,
        expire_time: datetime | None = None,
        if_match: str | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Writes one whole memory, replacing what is there under the same ref.

        Args:
            ref: A ref, or a kind; then the memory lies in the namespace that is bound here.
            key: Its name beside a kind. None means that one is minted.
            text: What is embedded and searched: at most 65,536 bytes. Empty means none.
            attributes: Facts to filter by: at most 64 names, not starting with "@".
            value: A payload that comes back as it went in. None is null.
            episode: What happened and when; only for EPISODIC.
            importance: 0 to 1. None is not 0.
            pinned: Whether forgetting and caps leave it alone.
            vector: Its own vector, of the route's dimension.
            indexed_texts: Up to 16 further texts or vectors that it is found by, by their paths.
            ttl: When it is gone, counted from now; a timedelta or seconds. 0 means never.
            expire_time: When it is gone; an aware datetime.
            if_match: Only if the memory has this etag.
            if_absent: Only if the memory is missing.
            if_present: Only if the memory is there.
            min_durability: See the class.
            request_id: See the class.
            timeout: See the class.

        Raises:
            InvalidArgument: Something is not as it must be; nothing was written.
            Aborted, AlreadyExists, NotFound, FailedPrecondition: The precondition does not hold.
            MemplaneError: Anything else that failed.
        """
        put = Put(
            _requests.resolve("put", self._namespace, ref, key),
            text=text,
            attributes=attributes,
            value=value,
            episode=episode,
            importance=importance,
            pinned=pinned,
            vector=vector,
            indexed_texts=indexed_texts,
            ttl=ttl,
            expire_time=expire_time,
            if_match=if_match,
            if_absent=if_absent,
            if_present=if_present,
        )
        return _single(
            await self.put_many(
                (put,), min_durability=min_durability, request_id=request_id, timeout=timeout
            )
        )

    async def put_many(
        self,
        puts: Iterable[Put | Memory],
        *,
        atomic: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResults:
        """Writes whole memories; those that were read are written as they were (see `Put.of`).

        A batch is not atomic, unless `atomic` asks for all or nothing: that is for PROCEDURAL
        memories of one namespace, and one refused item refuses the others (ATOMIC_REFUSED). Over
        1,000 items or 3 MiB a batch is sent in several calls, each with `timeout`; when one of those
        fails after others succeeded, its error stands at its items. An atomic one is refused then.

        Returns:
            One result an item, in order. An item that was refused has an `error`.

        Raises:
            InvalidArgument: Something is not as it must be; nothing was written.
            MemplaneError: The call failed as a whole.
        """
        options = _requests.WriteOptions(min_durability, request_id, atomic)
        messages = _requests.put_messages(puts, mint=request_id is None)
        return await self._write(_requests.PUT, messages, options, timeout)

    async def update(
        self,
        ref: Ref | Kind | str,
        key: str | None = None,
        *,
        text: str | None = None,
        attributes: Mapping[str, ValueLike] | None = None,
        remove_attributes: Sequence[str] = (),
        value: OrUnset = UNSET,
        importance: float | None = None,
        pinned: bool | None = None,
        indexed_texts: IndexedTexts | None = None,
        ttl: timedelta | float | None = None,
        expire_time: datetime | None = None,
        if_match: str | None = None,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Changes parts of one memory; what is not given stays as it is, the vector too.

        Args:
            ref: A ref, or a kind; then the memory lies in the namespace that is bound here.
            key: Its name beside a kind.
            text: The new text, which is embedded; empty removes it.
            attributes: Attributes to set; the others stay.
            remove_attributes: Names of attributes to remove.
            value: The new payload. None is null.
            importance: The new importance, 0 to 1.
            pinned: Whether it is pinned.
            indexed_texts: All further texts anew, by their paths; empty removes them.
            ttl: The new time to live from now on; a timedelta or seconds. 0 means for ever.
            expire_time: The new instant of expiry; an aware datetime.
            if_match: Only if the memory has this etag.
            min_durability: See the class.
            request_id: See the class.
            timeout: See the class.

        Raises:
            NotFound: The memory is not there.
            Aborted: It has another etag than `if_match`.
            MemplaneError: Anything else that failed.
        """
        change = Update(
            _requests.resolve("update", self._namespace, ref, key),
            text=text,
            attributes=attributes,
            remove_attributes=remove_attributes,
            value=value,
            importance=importance,
            pinned=pinned,
            indexed_texts=indexed_texts,
            ttl=ttl,
            expire_time=expire_time,
            if_match=if_match,
        )
        return _single(
            await self.update_many(
                (change,), min_durability=min_durability, request_id=request_id, timeout=timeout
            )
        )

    async def update_many(
        self,
        updates: Iterable[Update],
        *,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResults:
        """Changes parts of memories. Returns, raises and splits as `put_many`."""
        options = _requests.WriteOptions(min_durability, request_id)
        messages = _requests.update_messages(updates)
        return await self._write(_requests.UPDATE, messages, options, timeout)

    async def delete(
        self,
        ref: Ref | Kind | str,
        key: str | None = None,
        *,
        if_match: str | None = None,
        if_present: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResult:
        """Deletes one memory. One that is missing is no error: the outcome is MISSING.

        Args:
            ref: A ref, or a kind; then the memory lies in the namespace that is bound here.
            key: Its name beside a kind.
            if_match: Only if the memory has this etag.
            if_present: Only if the memory is there; else NotFound.
            min_durability: See the class.
            request_id: See the class.
            timeout: See the class.

        Raises:
            MemplaneError: The memory was not deleted, or perhaps was: see `ambiguous`.
        """
        delete = Delete(
            _requests.resolve("delete", self._namespace, ref, key),
            if_match=if_match,
            if_present=if_present,
        )
        return _single(
            await self.delete_many(
                (delete,), min_durability=min_durability, request_id=request_id, timeout=timeout
            )
        )

    async def delete_many(
        self,
        deletes: Iterable[Ref | Delete],
        *,
        atomic: bool = False,
        min_durability: Durability | str | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> WriteResults:
        """Deletes memories by ref. Returns, raises and splits as `put_many`."""
        options = _requests.WriteOptions(min_durability, request_id, atomic)
        messages = _requests.delete_messages(deletes)
        return await self._write(_requests.DELETE, messages, options, timeout)

    async def _write(
        self,
        call: _requests.WriteCall,
        items: Sequence[Any],
        options: _requests.WriteOptions,
        timeout: float | None,
    ) -> WriteResults:
        parts = _requests.split(items)
        if len(parts) > 1:
            options.refuse_parts()
            _requests.refuse_twice(call.refs(items), call.field)
        written = Written()
        for number, part in enumerate(parts):
            request = call.request(part.items, options, number)
            try:
                response = await self._connection.call(
                    MEMORY_SERVICE + call.method, request, call.response_type, timeout
                )
            except MemplaneError as error:
                end = part.start + len(part.items)
                return written.fail(error, call.refs(part.items), call.refs(items[end:]))
            written.add(response.results, len(part.items), response.consistency_token)
        return written.results()


def _single(results: WriteResults) -> WriteResult:
    """The one result of a batch of one; its error is raised."""
    (result,) = results
    if result.error is not None:
        raise result.error
    return result
