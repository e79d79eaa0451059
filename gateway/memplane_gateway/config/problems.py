"""What can be wrong with a configuration, said so that it can be put right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SettingPath = tuple[str, ...]
MASK = "********"

_USERINFO = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/@:\s]*):(?P<password>[^/\s]*)@"
)
_DSN_PASSWORD = re.compile(r"(?P<name>\bpassword\s*=\s*)(?P<password>'[^']*'|\S+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting was read: a line of a file, a variable, an option of the command line."""

    file: str | None = None
    line: int | None = None
    variable: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.file and self.line is not None:
            place = f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.variable) if part)


NOWHERE = Origin()


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `path` is the setting, for example "stores.main.url"."""

    path: str
    message: str
    suggestion: str = ""
    origin: Origin = NOWHERE

    @property
    def file(self) -> str | None:
        return self.origin.file

    @property
    def line(self) -> int | None:
        return self.origin.line

    def __str__(self) -> str:
        parts = [str(self.origin), self.path, self.message]
        sentence = ": ".join(part for part in parts if part)
        return f"{sentence} ({self.suggestion})" if self.suggestion else sentence


class ConfigError(Exception):
    """The configuration is wrong; `problems` has every reason that was found."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: Iterable[object]) -> str:
    """Writes a path the way people do."""
    return ".".join(str(part) for part in path)


def nearest(name: str, known: Iterable[str]) -> str:
    """Suggests the known name that looks most like this one; "" when none does."""
    names = list(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return f'did you mean "{folded[found[0]]}"?' if found else ""


def nearest_or_list(name: str, known: Iterable[str]) -> str:
    """Suggests the nearest name, or says them all when none is near."""
    names = sorted(known)
    return nearest(name, names) or _listed(names, "there are")


def nearest_and_list(name: str, known: Iterable[str], these: str) -> str:
    """Suggests the nearest name, and says them all."""
    names = sorted(known)
    return "; ".join(part for part in (nearest(name, names), _listed(names, these)) if part)


def _listed(names: Sequence[str], these: str) -> str:
    return f"{these}: {', '.join(names)}" if names else ""


def without_passwords(text: str) -> str:
    """Masks the passwords that stand inside addresses and connection strings."""
    text = _USERINFO.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    return _DSN_PASSWORD.sub(rf"\g<name>{MASK}", text)


def passwords_in(text: str) -> set[str]:
    """Finds the passwords that stand inside addresses and connection strings."""
    found = {match["password"] for match in _USERINFO.finditer(text)}
    found |= {match["password"] for match in _DSN_PASSWORD.finditer(text)}
    return found


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Takes secrets out of a message that somebody else wrote."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret.strip()) > 3:  # shorter ones would turn words into riddles
            text = text.replace(secret, MASK)
    return without_passwords(text)
