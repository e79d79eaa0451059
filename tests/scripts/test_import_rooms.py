"""Who may import what: a new vendor needs no line in the table and gets no more than his own."""

from __future__ import annotations

import pytest
from grimp import ImportGraph
from scripts.import_rooms import RoomsContract, installed_by

VENDOR = "house.qdrant"
"""Called like an extra of ours, so that what it installs is known."""
TABLE = (
    "house: ",
    "house.contract: numpy",
    "house.own: pytest",
    "house.*: house.contract, memplane-gateway[*]",
)


def found(*imports: tuple[str, str]) -> list[str]:
    """What the contract says of these imports in a house of rooms."""
    graph = ImportGraph()
    for module in ("house", "house.contract", "house.own", VENDOR, "house.chroma"):
        graph.add_module(module)
    for importer, imported in imports:
        graph.add_module(importer)
        graph.add_module(imported, is_squashed=not imported.startswith("house"))
        graph.add_import(
            importer=importer, imported=imported, line_number=1, line_contents="import it"
        )
    contract = RoomsContract(
        name="rooms",
        session_options={},
        contract_options={"rooms": list(TABLE)},
    )
    check = contract.check(graph, verbose=False)
    said: list[str] = check.metadata["found"]
    assert check.kept == (not said)
    return said


def test_an_extra_is_known_by_what_it_lets_one_import() -> None:
    assert installed_by("memplane-gateway", "qdrant") == {"qdrant_client", "grpc", "httpx"}
    assert installed_by("memplane-gateway", "chroma") == {
        "aiohttp",
        "chromadb",
        "orjson",
        "overrides",
        "yarl",
    }
    assert installed_by("memplane-gateway", "no-such-extra") == set()


@pytest.mark.parametrize(
    "imported", ["qdrant_client", "house.contract", "house.contract.part", VENDOR, "asyncio"]
)
def test_a_vendor_without_a_line_may_import(imported: str) -> None:
    assert found((f"{VENDOR}.store", imported)) == []


@pytest.mark.parametrize(
    "imported", ["chromadb", "pytest", "yaml", "house.own", "house.chroma", "numpy"]
)
def test_a_vendor_without_a_line_may_not_import(imported: str) -> None:
    (line,) = found((f"{VENDOR}.store", imported))
    assert line == (f"{VENDOR}.store -> {imported} (l.1), not in the line of {VENDOR}")


def test_a_line_of_its_own_takes_the_place_of_the_common_one() -> None:
    assert found(("house.own.part", "pytest")) == []
    assert len(found(("house.own.part", "house.contract"))) == 1
