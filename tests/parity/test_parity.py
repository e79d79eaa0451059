"""Every store that can be had on this machine gives the same answers to the same requests.

`make parity` runs 2,000 random steps a family from a new seed, and CI the same from one that stays;
within `make test` it is a short run that is always the same, with one store an adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.residual.conftest import Loose, NoFilters, arrangement
from tests.parity.families import FAMILIES, VECTORS, Family
from tests.parity.machine import run
from tests.parity.options import Options, say
from tests.parity.sides import Contender, table

from memplane_adapters.conformance.local_stores import Choice, Servers, choices
from memplane_adapters.contract import Kind
from memplane_gateway.config import Settings

EVERY_FAMILY = pytest.mark.parametrize("family", FAMILIES, ids=str)
EMBEDDED = Contender("embedded", lambda settings: settings)


def contender(choice: Choice, servers: Servers) -> Contender:
    """A store of an installed adapter."""

    def arrange(settings: Settings) -> Settings:
        return choice.arranged(settings, servers)

    return Contender(choice.name, arrange)


def one_an_adapter(every: Sequence[Choice]) -> list[Choice]:
    """Of each adapter the last that can be had: a server rather than a file, that rather than memory.

    Some adapters keep only vectors in one place and only key-values in another, which are two then.
    """
    found = {(choice.adapter_name, choice.kinds): choice for choice in every if not choice.problem}
    return list(found.values())


def at_hand(options: Options, family: Family, servers: Servers, directory: Path) -> list[Contender]:
    """The stores that keep a family, without those that cannot be had here (which fails in CI)."""
    every = choices()
    names = {choice.name for choice in (one_an_adapter(every) if options.one_an_adapter else every)}
    strange = set(options.stores) - {choice.name for choice in every}
    assert not strange, f"no such stores: {strange}; there are {[each.name for each in every]}"
    found = []
    for choice in every:
        if choice.name not in (options.stores or names):
            continue
        if choice.store is not None and not set(map(str, family.kinds)) <= set(choice.kinds):
            continue
        made = contender(choice, servers)
        try:
            made.arrange(Settings(data_dir=directory / choice.name))
        except pytest.skip.Exception as reason:
            say(f"parity: without {choice.name}: {reason}")
        else:
            found.append(made)
    return found


@EVERY_FAMILY
@pytest.mark.timeout(0)  # as long as the steps that were asked for take
def test_stores_agree(options: Options, family: Family, servers: Servers, tmp_path: Path) -> None:
    stores = at_hand(options, family, servers, tmp_path / "looked")
    if len(stores) < 2:
        pytest.skip(f"there are not two stores of {family} to compare")
    compare(stores, options, family, tmp_path)


@pytest.mark.timeout(0)
def test_stores_that_consolidate_agree(options: Options, servers: Servers, tmp_path: Path) -> None:
    """With a store at the table that cannot, the others only say what they would merge."""
    if options.seed is None:
        pytest.skip(
            "`make parity` has it; within `make test` nothing is merged on different stores"
        )
    able = {choice.name for choice in choices() if consolidates(choice, servers, tmp_path)}
    every = at_hand(options, VECTORS, servers, tmp_path / "looked")
    stores = [each for each in every if each.name in able]
    if len(stores) in (0, 1, len(every)):
        pytest.skip("every store that is compared can consolidate, or there are not two that can")
    compare(stores, replace(options, steps=options.steps // 4), VECTORS, tmp_path)


def consolidates(choice: Choice, servers: Servers, directory: Path) -> bool:
    """Whether a store declares what a consolidation takes."""
    if choice.problem or Kind.SEMANTIC not in choice.kinds:
        return False
    store = choice.backend_factory(servers, directory / choice.name)().vector
    assert store is not None, "it keeps vectors"
    able = store.capabilities
    return able.exact_search or not able.approximate


@EVERY_FAMILY
@pytest.mark.timeout(0)
def test_pushdown_and_residual_agree(options: Options, family: Family, tmp_path: Path) -> None:
    """The same store, with filters evaluated by itself, in part, and by the gateway."""
    if options.stores:
        pytest.skip("other stores were asked for")
    stores = [
        EMBEDDED,
        Contender("superset", arrangement(Loose)),
        Contender("no-pushdown", arrangement(NoFilters)),
    ]
    compare(stores, options, family, tmp_path)


def compare(stores: list[Contender], options: Options, family: Family, directory: Path) -> None:
    """Run the machine on these stores; says what was compared."""
    with table(stores, directory, family.kinds[0]) as made:
        made.tell = options.tell
        try:
            run(made, family, options.steps, seed=options.seed)
        except BaseException as error:
            if options.seed is not None:
                error.add_note(f"again: make parity ARGS='--seed {options.seed}'")
            raise
        finally:
            say(f"parity of {family}: {made}; seed {options.seed}")
