"""Names that Pinecone takes: namespaces for tenants, tags for what an index was made with."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from memplane_adapters.contract import Address, point_id

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.@-]{1,200}")
_UNTAGGED: Final = re.compile(r"[^A-Za-z0-9. -]")
_LONGEST_TAG: Final = 120

LAYOUT_TAG: Final = "memplane-layout"
"""What tells our indexes from those of others."""
LAYOUT: Final = "1"
_IDENTITY_TAG: Final = "memplane-identity-"


def namespace_of(tenant: str) -> str:
    """The namespace of a tenant: its name where that can be read, else a hash."""
    if _PLAIN.fullmatch(tenant):
        return f"tenant.{tenant}"
    return f"hashed.{hashlib.blake2b(tenant.encode(), digest_size=32).hexdigest()}"


def record_id(address: Address) -> str:
    """The id of a memory's head point."""
    return str(point_id(address))


def tags_of(identity: str) -> dict[str, str]:
    """An identity as tags, readable as far as tags are: "+" is a space, "_2F" a slash."""
    text = _UNTAGGED.sub(_escape, identity).replace(" ", "+")
    parts = [text[start : start + _LONGEST_TAG] for start in range(0, len(text), _LONGEST_TAG)]
    named = {f"{_IDENTITY_TAG}{number}": part for number, part in enumerate(parts)}
    return {LAYOUT_TAG: LAYOUT, **named}


def identity_of(tags: Mapping[str, str]) -> str:
    """The identity that tags hold."""
    parts: list[str] = []
    while (part := tags.get(f"{_IDENTITY_TAG}{len(parts)}")) is not None:
        parts.append(part)
    return unquote_plus("".join(parts).replace("_", "%"))


def _escape(match: re.Match[str]) -> str:
    return "".join(f"_{byte:02X}" for byte in match[0].encode())
