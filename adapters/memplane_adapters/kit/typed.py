r"""Fields as typed names: what a store without our types can match exactly.

A row's fields become *tokens*, strings of which a store only has to know whether a row holds one:

    path?          something stands at the path, null too
    path=T:value   it is this scalar; T is its type, so that "10" and 10 never meet
    path~T:value   it is a list that holds this scalar
    path#T         it has this type

Numbers and instants are kept beside them by path, as 64-bit floats, for ranges.

A path is its names, joined by dots; a backslash stands before each of ". = ? ~ # \" in a name. Types:
z null, b bool, n number, s string, x bytes, t timestamp, l list, m map; i marks instants, which are
timestamps and strings that say one. Equal numbers have equal tokens, whether int or float. A string
of more than 64 bytes is cut there and goes on as its BLAKE2b hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from memplane_adapters.contract import Fields, Value, instant

Scalar: TypeAlias = "bool | int | float | str | bytes | datetime | None"

NULL: Final = "z"
BOOL: Final = "b"
NUMBER: Final = "n"
STRING: Final = "s"
BYTES: Final = "x"
TIMESTAMP: Final = "t"
LIST: Final = "l"
MAP: Final = "m"
INSTANT: Final = "i"

_PLAIN_BYTES: Final = 64
_ESCAPED: Final = str.maketrans({mark: f"\\{mark}" for mark in ".=?~#\\"})


def path_name(path: Sequence[str]) -> str:
    """A path as one string; no two paths share one."""
    return _joined(tuple(path))


@lru_cache(maxsize=4_096)
def _joined(path: tuple[str, ...]) -> str:
    return ".".join(name.translate(_ESCAPED) for name in path)


def present(path: Sequence[str]) -> str:
    """The token of rows that have the path."""
    return f"{path_name(path)}?"


def equals(path: Sequence[str], scalar: Scalar) -> str:
    """The token of rows where a scalar stands at the path."""
    return f"{path_name(path)}={_typed(scalar)}"


def holds(path: Sequence[str], scalar: Scalar) -> str:
    """The token of rows where a list with this scalar in it stands at the path."""
    return f"{path_name(path)}~{_typed(scalar)}"


def has_type(path: Sequence[str], letter: str) -> str:
    """The token of rows where a value of a type stands at the path; only n, i and l are kept."""
    return f"{path_name(path)}#{letter}"


class Indexed(NamedTuple):
    """A row's fields, as a store looks for them."""

    tokens: list[str]
    """Each once, in no particular order."""
    numbers: dict[str, float]
    """By path; those in lists are not among them."""
    instants: dict[str, float]
    """By path, in `half_micros` as floats: rounded as bounds are."""


def indexed(fields: Fields) -> Indexed:
    """What a store keeps of a row's fields."""
    tokens: dict[str, None] = {}
    numbers: dict[str, float] = {}
    instants: dict[str, float] = {}
    for path, value in _walk(fields):
        name = path_name(path)
        tokens[f"{name}?"] = None
        if isinstance(value, list):
            tokens[f"{name}#{LIST}"] = None
            for item in value:
                if not isinstance(item, list | dict):
                    tokens[f"{name}~{_typed(item)}"] = None
        elif not isinstance(value, dict):
            tokens[f"{name}={_typed(value)}"] = None
            if isinstance(value, int | float) and not isinstance(value, bool):
                tokens[f"{name}#{NUMBER}"] = None
                numbers[name] = float(value)
            elif (nanos := instant(value)) is not None:
                tokens[f"{name}#{INSTANT}"] = None
                instants[name] = float(half_micros(nanos))
    return Indexed(list(tokens), numbers, instants)


def half_micros(nanos: int) -> int:
    """Twice the microseconds since 1970, and one more when it lies between two of them.

    Keeps order; whole microseconds and what lies between them never meet.
    """
    micros, rest = divmod(nanos, 1000)
    return 2 * micros + (rest != 0)


def _walk(fields: Fields, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Value]]:
    for name, value in fields.items():
        path = (*above, name)
        yield path, value
        if isinstance(value, dict):
            yield from _walk(value, path)


def _typed(scalar: Scalar) -> str:
    if scalar is None:
        return f"{NULL}:"
    if isinstance(scalar, bool):
        return f"{BOOL}:{int(scalar)}"
    if isinstance(scalar, int):
        return f"{NUMBER}:{scalar}"
    if isinstance(scalar, float):
        return f"{NUMBER}:{int(scalar) if scalar.is_integer() else repr(scalar)}"
    if isinstance(scalar, str):
        return f"{STRING}:{_short(scalar.encode())}"
    if isinstance(scalar, bytes):
        digest = hashlib.blake2b(scalar, digest_size=16).hexdigest()
        return f"{BYTES}:{scalar.hex() if len(scalar) <= len(digest) // 2 else '#' + digest}"
    nanos = instant(scalar)
    assert nanos is not None, "a datetime is an instant"
    return f"{TIMESTAMP}:{nanos // 1000}"


def _short(encoded: bytes) -> str:
    if len(encoded) <= _PLAIN_BYTES:
        return f"={encoded.decode()}"
    digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    # A character that is cut through is left out; the hash tells strings apart.
    return f"#{encoded[:_PLAIN_BYTES].decode(errors='ignore')}#{digest}"
