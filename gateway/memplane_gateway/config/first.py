"""A first configuration file, for chosen vendors: what is to be said is set, all else is a comment."""

from __future__ import annotations

import itertools
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from pydantic import BaseModel

from memplane_adapters.contract.adapter import Adapter
from memplane_gateway.config.described import Setting, model_settings, store_settings
from memplane_gateway.config.environment import DOTENV, Variables, short_form
from memplane_gateway.config.models import RouteSettings, Settings, providers
from memplane_gateway.config.problems import nearest_and_list
from memplane_gateway.config.stores import (
    EMBEDDED,
    OURS,
    AdapterError,
    StoreSettingsError,
    check_keys,
    extra_of,
    installed,
    lacking,
    load_adapter,
)

_HEAD: Final = """\
# {title}
#
# Made by `memplane init`. Lines that begin with # and no blank are settings with their defaults:
# take the # away to change one. Every setting is told in docs/configuration.md; `memplane config
# check` says whether this file is right, `memplane doctor` whether it works here.
"""
_OF_A_ROUTE: Final = ("store", "embedder")
_SECTIONS: Final = ("control", "outbox", "sweep")
_WIDTH: Final = 96


class ChoiceError(Exception):
    """What was chosen is not there, or cannot be what it was chosen for; `args[0]` is a sentence."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A store that was chosen, and where it is."""

    name: str
    adapter: Adapter
    keys: Mapping[str, object]

    @property
    def vectors(self) -> bool:
        """Whether it may keep SEMANTIC and EPISODIC."""
        return not self.adapter.local or any(each.vectors for each in self.adapter.local)

    @property
    def key_values(self) -> bool:
        """Whether it may keep PROCEDURAL."""
        return not self.adapter.local or any(each.key_values for each in self.adapter.local)

    @property
    def settings(self) -> list[Setting]:
        """What its section says."""
        return store_settings(self.adapter, self.keys)


@dataclass(frozen=True, slots=True)
class First:
    """A file, and what it takes to start with it."""

    text: str
    title: str
    install: tuple[str, ...]
    """What is not installed, as pip takes it: "memplane-gateway[qdrant]"."""
    variables: tuple[str, ...]
    """What the file refers to."""

    def unset(self) -> list[str]:
        """The variables that neither the environment nor `.env` has."""
        there = Variables(os.environ, DOTENV)
        return [name for name in self.variables if not there.get(name)]


def vendor(text: str) -> Vendor:
    """The vendor that "qdrant", "pgvector", "redis://host:6379" or "chroma+http://host:8000" means.

    Raises:
        ChoiceError: There is none, or its address cannot be read.
    """
    form = short_form(text)
    said, rest = (text, None) if text in installed() or form is None else form
    name = _known(said.lower())
    try:
        adapter = load_adapter(name)
        keys = {} if rest is None else adapter.from_url(rest)
        written = {each.name: each.value for each in store_settings(adapter, keys) if each.said}
        check_keys(adapter.settings, {**written, **keys}, f'adapter "{name}"')
    except AdapterError as error:
        suggestion = f" ({error.suggestion})" if error.suggestion else ""
        raise ChoiceError(f"{error}{suggestion}") from error
    except StoreSettingsError as error:
        raise ChoiceError("; ".join(f"{name}: {each}" for each in error.problems)) from error
    except ValueError as error:
        raise ChoiceError(f"{name}: {error}") from error
    return Vendor(name, adapter, keys)


def keepers() -> tuple[list[str], list[str]]:
    """The vendors that keep vectors, and those that keep key-values; the embedded one comes first."""
    found = []
    for name in sorted(installed(), key=lambda name: (name != EMBEDDED, name)):
        try:
            adapter = load_adapter(name)
        except AdapterError:
            continue  # of another package, which is not whole
        if adapter.name == name:  # and not another name for it
            found.append(Vendor(name, adapter, {}))
    vectors = [each.name for each in found if each.vectors]
    return vectors, [each.name for each in found if each.key_values]


def _known(name: str) -> str:
    """The name of an adapter, for its own or another one that people use."""
    if name in installed():
        return load_adapter(name).name
    for each in installed():
        try:
            if name in load_adapter(each).aliases:
                return each
        except AdapterError:
            continue  # it has a name of its own, and that is another
    suggestion = nearest_and_list(name, installed(), "there are")
    raise ChoiceError(f'no vendor "{name}" ({suggestion})')


def first_file(vendors: Sequence[Vendor], procedural: Vendor | None, embedder: str) -> First:
    """The file for these vendors; what they do not keep stays in the embedded store.

    SEMANTIC and EPISODIC go to the first that keeps vectors, PROCEDURAL to `procedural`, else to the
    first that keeps key-values alone, else to the first that keeps them. Others stand ready.

    Raises:
        ChoiceError: A vendor keeps no such thing, or there is no such embedder.
    """
    if procedural is not None and not procedural.key_values:
        raise ChoiceError(f"{procedural.name} keeps no key-values: it cannot have PROCEDURAL")
    if embedder not in providers():
        suggestion = nearest_and_list(embedder, providers(), "there are")
        raise ChoiceError(f'no embedder "{embedder}" ({suggestion})')
    here = Vendor(EMBEDDED, load_adapter(EMBEDDED), {})
    searched = next((each for each in vendors if each.vectors), here)
    keepers = sorted((each for each in vendors if each.key_values), key=lambda each: each.vectors)
    stores: dict[str, Vendor] = {}
    names = {
        "vectors": _add(stores, searched),
        "key_values": _add(stores, procedural or next(iter(keepers), here)),
    }
    for each in vendors:
        _add(stores, each)
    model = providers()[embedder]
    embedding = model_settings(model, ("provider",))
    title = (
        f"SEMANTIC and EPISODIC in {names['vectors']}, PROCEDURAL in {names['key_values']}, "
        f"embedder {embedder}"
    )
    lines = [
        *(_HEAD.format(title=title) + _routes(**names, embedder=embedder)).splitlines(),
        "",
        "stores:",
    ]
    for name, each in stores.items():
        lines += [f"  {name}:", *_indented([Setting("adapter", each.name), *each.settings], 4)]
    lines += ["", "embedders:", f"  {embedder}:"]
    lines += _indented([Setting("provider", embedder), *embedding], 4)
    lines += ["", *_gateway()]
    said = [line for each in stores.values() for line in each.settings] + embedding
    return First(
        "\n".join(lines) + "\n",
        title,
        _missing(stores.values(), embedder, model),
        tuple(dict.fromkeys(line.variable for line in said if line.said and line.variable)),
    )


def _add(stores: dict[str, Vendor], vendor: Vendor) -> str:
    """Puts a vendor among the stores, unless it is there; its name there."""
    names = (f"{vendor.name}-{number}" for number in itertools.count(2))
    for name in itertools.chain([vendor.name], names):
        if stores.setdefault(name, vendor).keys == vendor.keys:
            return name  # else it is the same adapter, with another address
    raise AssertionError


def _routes(vectors: str, key_values: str, embedder: str) -> str:
    others = ", ".join(name for name in RouteSettings.model_fields if name not in _OF_A_ROUTE)
    comment = textwrap.fill(
        f"Which store keeps which kind. To switch is to name another one here; no client changes, "
        f"and no memory moves. A route has further settings: {others}.",
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
    )
    return f"""
{comment}
routes:
  semantic: {{store: {vectors}, embedder: {embedder}}}
  episodic: {{store: {vectors}, embedder: {embedder}}}
  procedural: {{store: {key_values}}}
"""


def _gateway() -> Iterator[str]:
    """The settings of the gateway itself; all of them are comments."""
    yield "# The gateway itself."
    yield from _indented(model_settings(Settings), 0)
    for name in _SECTIONS:
        section = Settings.model_fields[name].annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        yield f"#{name}:"
        for line in _indented(model_settings(section), 0):
            yield line if line.startswith("# ") else f"#  {line.removeprefix('#')}"


def _indented(settings: Sequence[Setting], by: int) -> list[str]:
    return [f"{' ' * by}{line}" for setting in settings for line in setting.lines()]


def _missing(vendors: Iterable[Vendor], embedder: str, model: type[BaseModel]) -> tuple[str, ...]:
    """What pip has to install, a distribution each with all extras that it takes."""
    extras = [extra_of(each.name) for each in vendors if lacking(each.adapter)]
    if any(find_spec(module) is None for module in getattr(model, "needs", ())):
        extras.append(f"{OURS}[{embedder}]")
    owners: dict[str, set[str]] = {}
    for extra in extras:
        owner, _, name = extra.removesuffix("]").partition("[")
        owners.setdefault(owner, set()).add(name)
    return tuple(f"{owner}[{','.join(sorted(names))}]" for owner, names in owners.items())
