"""Page tokens: where a walk stands, sealed so that only its own caller can go on with it.

A token is base64url of JSON and a 16-byte keyed BLAKE2b over that JSON and the binding (tenant, rpc
and question). It is valid for 24 hours, on every gateway that shares the control store.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from memplane_adapters.contract import Cursor
from memplane_gateway.errors import MemplaneError, Reason, Violation, invalid
from memplane_gateway.memory.model import Caller

LIFETIME = 24 * 3600 * 1_000_000
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk stands. `since` and `second` are those of a descending walk by update_time."""

    cursor: Cursor
    since: int = 0
    second: bool = False


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """Where the pages of a search stand."""

    offset: int
    """How many hits came before."""
    at: int
    """When the first page was asked for: what is recent is measured from there on all of them."""
    depth: int = 0
    """How many of the best matches are ranked anew, where any are."""
    cursor: Cursor | None = None
    """Where RECENT goes on."""


class Question(Protocol):
    """What a token is about."""

    @property
    def binding(self) -> bytes:
        """Equal for equal questions."""
        ...


def binding_of(caller: Caller, asked: Question) -> bytes:
    """What a token is bound to: whose it is, and of which question."""
    return caller.tenant.encode() + b"\0" + asked.binding


class PageTokens:
    """Seals and opens page tokens under one secret."""

    def __init__(self, secret: bytes = b"") -> None:
        self.secret = secret
        """To be set before the first token, if it is not known yet."""

    def seal(self, position: Position, binding: bytes, now: int) -> str:
        """The token of a position."""
        content = {
            **_of_cursor(position.cursor),
            "s": position.since,
            "p": int(position.second),
        }
        return self._seal(content, binding, now)

    def open(self, token: str, binding: bytes, now: int) -> Position:
        """The position of a token. Raises INVALID_ARGUMENT when it is not one of this walk."""
        content = self._open(token, binding, now)
        return Position(_cursor_of(content), content["s"], bool(content["p"]))

    def seal_search(self, position: SearchPosition, binding: bytes, now: int) -> str:
        """The token of a position in a search."""
        content = {"o": position.offset, "a": position.at, "d": position.depth}
        if position.cursor is not None:
            content |= _of_cursor(position.cursor)
        return self._seal(content, binding, now)

    def open_search(self, token: str, binding: bytes, now: int) -> SearchPosition:
        """The position of a token. Raises INVALID_ARGUMENT when it is not one of this search."""
        content = self._open(token, binding, now)
        cursor = _cursor_of(content) if "k" in content else None
        return SearchPosition(content["o"], content["a"], content["d"], cursor)

    def seal_seen(self, seen: Mapping[str, Sequence[str]], binding: bytes, now: int) -> str:
        """A consistency token: by kind, what the kind's store said after a write."""
        return self._seal(
            {"c": {kind: list(tokens) for kind, tokens in seen.items()}}, binding, now
        )

    def open_seen(self, token: str, binding: bytes, now: int) -> Mapping[str, Sequence[str]]:
        """What a consistency token holds. Raises INVALID_ARGUMENT when it is none of this tenant."""
        seen: Mapping[str, Sequence[str]] = self._open(token, binding, now)["c"]
        return seen

    def _seal(self, content: dict[str, Any], binding: bytes, now: int) -> str:
        body = json.dumps(
            {**content, "x": now + LIFETIME}, separators=(",", ":"), ensure_ascii=False
        ).encode()
        return base64.urlsafe_b64encode(self._mac(body, binding) + body).decode().rstrip("=")

    def _open(self, token: str, binding: bytes, now: int) -> dict[str, Any]:
        try:
            sealed = base64.b64decode(
                token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raise _refused("is not a token of this gateway") from None
        mac, body = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, binding)):
            raise _refused("was altered, or belongs to another call")
        content: dict[str, Any] = json.loads(body)
        if content["x"] < now:
            raise _refused("has expired; begin again without a token")
        return content

    def _mac(self, body: bytes, binding: bytes) -> bytes:
        assert self.secret, "no route serves before it is known"
        digest = hashlib.blake2b(key=self.secret, digest_size=_MAC_BYTES)
        digest.update(len(binding).to_bytes(4, "big") + binding + body)
        return digest.digest()


def _of_cursor(cursor: Cursor) -> dict[str, Any]:
    return {"v": cursor.value, "n": cursor.namespace, "k": cursor.key}


def _cursor_of(content: dict[str, Any]) -> Cursor:
    return Cursor(content["v"], tuple(content["n"]), content["k"])


def _refused(why: str) -> MemplaneError:
    return invalid([Violation("page_token", why)], Reason.PAGE_TOKEN_INVALID)
