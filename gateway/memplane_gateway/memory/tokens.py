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
from dataclasses import dataclass

from memplane_adapters.contract import Cursor
from memplane_gateway.errors import MemplaneError, Reason, Violation, invalid

LIFETIME = 24 * 3600 * 1_000_000
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk stands. `since` and `second` are those of a descending walk by update_time."""

    cursor: Cursor
    since: int = 0
    second: bool = False


class PageTokens:
    """Seals and opens page tokens under one secret."""

    def __init__(self, secret: bytes = b"") -> None:
        self.secret = secret
        """To be set before the first token, if it is not known yet."""

    def seal(self, position: Position, binding: bytes, now: int) -> str:
        """The token of a position."""
        cursor = position.cursor
        body = json.dumps(
            {
                "v": cursor.value,
                "n": cursor.namespace,
                "k": cursor.key,
                "s": position.since,
                "p": int(position.second),
                "x": now + LIFETIME,
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()
        return base64.urlsafe_b64encode(self._mac(body, binding) + body).decode().rstrip("=")

    def open(self, token: str, binding: bytes, now: int) -> Position:
        """The position of a token. Raises INVALID_ARGUMENT when it is not one of this walk."""
        try:
            sealed = base64.b64decode(
                token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, UnicodeEncodeError, ValueError):
            raise _refused("is not a token of this gateway") from None
        mac, body = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body, binding)):
            raise _refused("was altered, or belongs to another call")
        content = json.loads(body)
        if content["x"] < now:
            raise _refused("has expired; begin again without a token")
        return Position(
            Cursor(content["v"], tuple(content["n"]), content["k"]),
            content["s"],
            bool(content["p"]),
        )

    def _mac(self, body: bytes, binding: bytes) -> bytes:
        assert self.secret, "no route serves before it is known"
        digest = hashlib.blake2b(key=self.secret, digest_size=_MAC_BYTES)
        digest.update(len(binding).to_bytes(4, "big") + binding + body)
        return digest.digest()


def _refused(why: str) -> MemplaneError:
    return invalid([Violation("page_token", why)], Reason.PAGE_TOKEN_INVALID)
