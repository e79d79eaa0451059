"""Vectors made lately, so that the same text is not embedded again."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from pydantic import Field

from memplane_adapters.contract import Vector
from memplane_gateway.embedders.base import Around, Embedder, EmbedderError, Role

CACHE_BYTES: Final[Any] = Field(
    default=64 * 1024**2,
    ge=0,
    le=2**40,
    description="Most bytes of vectors that are kept for texts that come again; 0: none are.",
)
"""The setting, for embedders that cost something."""

_ENTRY_BYTES: Final = 400
"""What an entry takes beside its numbers: its key, the array's header, the place in the dict."""


class Caching(Around):
    """Keeps vectors by a hash of their text, those used last, up to a number of bytes.

    The texts themselves are not kept, and the hashes are keyed by a secret of this process.
    """

    def __init__(self, inner: Embedder, max_bytes: int) -> None:
        super().__init__(inner)
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, Vector | None] = OrderedDict()
        self._secret = secrets.token_bytes(32)

    async def embed(self, texts: Sequence[str], role: Role = Role.MEMORY) -> list[Vector | None]:
        """Asks only for what is not kept, and for each text once."""
        keys = [self._key(text, role) for text in texts]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        lacking = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for key in found:
            self._kept.move_to_end(key)
        if lacking:
            try:
                made = await self._inner.embed(list(lacking.values()), role)
            except EmbedderError as error:
                if not error.refused:
                    raise
                found |= {
                    key: self._keep(key, error.made[text])
                    for key, text in lacking.items()
                    if text not in error.refused
                }
                both = zip(keys, texts, strict=True)
                raise EmbedderError(
                    error.message,
                    reason=error.reason,
                    refused=error.refused,
                    made={text: found[key] for key, text in both if key in found},
                ) from error
            for key, vector in zip(lacking, made, strict=True):
                found[key] = self._keep(key, vector)
        return [found[key] for key in keys]

    def _key(self, text: str, role: Role) -> bytes:
        told = role if self._inner.tells_roles else Role.MEMORY
        # A lone surrogate is a text like any other here; whoever embeds it has to judge it.
        content = text.encode("utf-8", "surrogatepass")
        return blake2b(content, digest_size=32, key=self._secret, person=told.encode()).digest()

    def _keep(self, key: bytes, vector: Vector | None) -> Vector | None:
        if vector is not None:
            vector = vector.copy()  # a row would keep the whole batch
            vector.flags.writeable = False  # all who ask for this text share it
        if key in self._kept:
            self._bytes -= _size(self._kept.pop(key))
        self._kept[key] = vector
        self._bytes += _size(vector)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        return vector


def _size(vector: Vector | None) -> int:
    return _ENTRY_BYTES + (0 if vector is None else vector.nbytes)
