"""Stores that are collections of somebody else: `{adopt: MAPPING}`, served as snapshots, read-only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from memplane_adapters.contract.adapter import Backend
from memplane_gateway.config.models import Settings
from memplane_gateway.config.problems import ConfigError, Problem
from memplane_gateway.config.stores import StoreSettings, StoreSettingsError, check_keys

if TYPE_CHECKING:
    from memplane_gateway.adopting import Adoption

ADOPT: Final = "adopt"
_SEARCHED: Final = ("semantic", "episodic")
_OF_WRITES: Final = ("require_durability", "refresh_ttl")


@dataclass(frozen=True, slots=True)
class SnapshotSettings:
    """What can be said of such a store."""

    adopt: str
    """The file of the mapping, as `memplane adopt` takes it."""
    refresh_seconds: Annotated[float, Field(ge=1, le=30 * 86_400, allow_inf_nan=False)] = 300.0
    """From the end of one reading to the beginning of the next."""
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 200_000
    """A collection with more is not served."""


class AdoptedSettings(StoreSettings):
    """Such a store, with its mapping as it was read at the start."""

    adoption: Any = Field(repr=False)
    """An Adoption; its source may hold secrets."""

    def connect(self, data_dir: Path) -> Backend:  # noqa: ARG002 (others need it)
        """It keeps nothing that is written: routes make its snapshots themselves."""
        return Backend()


def make_adopted(
    keys: Mapping[str, object], beside: Path, environ: Mapping[str, str] | None
) -> AdoptedSettings:
    """Checks the keys of such a store, and its mapping.

    Args:
        keys: As they were written.
        beside: What a relative path of the mapping is below.
        environ: The environment, for references to secrets in the mapping.

    Raises:
        StoreSettingsError: A key is unknown or wrong, or something in the mapping is.
    """
    from memplane_gateway.adopting import read_adoption

    settings: SnapshotSettings = check_keys(SnapshotSettings, keys, f'a store with "{ADOPT}"')
    try:
        adoption: Adoption = read_adoption(beside / Path(settings.adopt).expanduser(), environ)
    except ConfigError as error:
        raise StoreSettingsError([_of_the_mapping(each) for each in error.problems]) from error
    return AdoptedSettings(adapter=ADOPT, settings=settings, place=(ADOPT,), adoption=adoption)


def refusals(settings: Settings) -> Iterator[tuple[tuple[str, ...], Problem]]:
    """What is configured for routes on such stores that cannot be, each with the section it is in."""
    for kind in (*_SEARCHED, "procedural"):
        route = getattr(settings.routes, kind)
        store = settings.stores.get(route.store)  # none: a problem that is told already
        if isinstance(store, AdoptedSettings):
            for problem in _of_the_route(settings, kind, store):
                yield ("routes", kind), problem
            if any(policy.kind == kind for policy in settings.retention):
                message = (
                    f"a policy is for {kind} memories, which the store {route.store!r} serves "
                    "read-only: nothing there can be deleted"
                )
                yield (), Problem("retention", message)
    if isinstance(settings.stores.get(settings.control.store), AdoptedSettings):
        message = f"the store {settings.control.store!r} is read-only, and cannot keep the state"
        yield ("control",), Problem("store", message)


def _of_the_route(settings: Settings, kind: str, store: AdoptedSettings) -> Iterator[Problem]:
    route = getattr(settings.routes, kind)
    made = store.adoption.kind.value
    if made != kind:
        message = (
            f"the mapping of {route.store!r} makes {made} memories of its rows, not {kind} ones"
        )
        yield Problem("store", message, f"kind: {kind} in the mapping, or another store here")
    embeds = store.adoption.mapping.vector == "embed"
    embedder = settings.embedders.get(route.embedder) if kind in _SEARCHED else None
    if embeds and embedder is not None and embedder.provider == "none":
        message = f"takes no text, and the mapping of {route.store!r} says vector: embed"
        yield Problem("embedder", message, "name another one, or say vector: keep")
    for name in _OF_WRITES:
        if getattr(route, name):
            yield Problem(name, f"is about writes, and the store {route.store!r} is read-only")
    if route.on_backend_down == "spool":
        yield Problem(
            "on_backend_down", f"spool is for writes, and the store {route.store!r} is read-only"
        )


def _of_the_mapping(problem: Problem) -> Problem:
    """A problem of the mapping's file as one of the setting that names it."""
    return Problem(ADOPT, str(replace(problem, suggestion="")), problem.suggestion)
