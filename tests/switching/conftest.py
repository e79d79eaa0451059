"""One gateway a store and a way to configure it: all that the tests here know of vendors is this file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.days import environ_for
from tests.faults.process import Gateway, room
from tests.thorough import THOROUGH

from memplane_adapters.conformance.local_stores import Choice, Servers, at_hand

BY = ("variable", "file")
"""The two ways to name a vendor: one variable, or one line of YAML."""

FILE = """\
routes:
  semantic: {{store: memories}}
  episodic: {{store: memories}}
stores:
  memories: {line}
"""


def configured(
    choice: Choice, servers: Servers, by: str, place: Path
) -> tuple[Mapping[str, str], str]:
    """The variables that name the vendor, and the file."""
    directory = place / "store"
    adapter, keys = choice.keys(servers, directory)
    assert choice.store is not None, "it is at hand"
    if by == "file":
        return {}, FILE.format(line=json.dumps({"adapter": adapter.name, **keys}))
    # A prefix keeps these tests apart from others on the same server.
    prefix = adapter.prefix
    ours = {prefix: str(keys[prefix])} if prefix else {}
    return environ_for(adapter.name, servers.url(choice.store, directory), **ours), ""


STORES = at_hand(vectors=True)
SHARED = {store.name: BY[number % len(BY)] for number, store in enumerate(STORES) if number}
"""The one way of each store but the first, which has both: a thorough run has both on all."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the other way."""
    left_out = {item for item in items if not THOROUGH and _other_way(item)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _other_way(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    by, store = params.get("gateway"), params.get("choice")
    return by in BY and isinstance(store, Choice) and SHARED.get(store.name, by) != by


@pytest.fixture(params=STORES, ids=str)
def choice(request: pytest.FixtureRequest) -> Choice:
    """A store."""
    made: Choice = request.param
    return made


@pytest.fixture(params=BY)
def gateway(request: pytest.FixtureRequest, choice: Choice, servers: Servers) -> Iterator[Gateway]:
    """`memplane serve` in a process of its own, on that store."""
    with room() as place:
        environ, file = configured(choice, servers, request.param, place)
        if file:
            (place / "memplane.yaml").write_text(file)
        with Gateway(place, environ=environ) as started:
            yield started
            assert "bug in" not in started.log
