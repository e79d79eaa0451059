"""A contract for import-linter: a table that says what each room of the house may import.

import-linter's own contracts forbid; this one allows, so that a new dependency is seen the day it
comes. It looks at direct imports only: what is imported is a room with a line of its own.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from importlinter import Contract, ContractCheck, fields, output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from grimp import ImportGraph


def within(module: str, package: str) -> bool:
    """Tells whether a module is a package or lies in it."""
    return module == package or module.startswith(f"{package}.")


def innermost(module: str, packages: Iterable[str]) -> str | None:
    """Finds the smallest of the packages that a module lies in."""
    return max((package for package in packages if within(module, package)), key=len, default=None)


def parse(lines: Iterable[str]) -> dict[str, dict[str, bool]]:
    """Reads the table: "room: allowed, -not allowed" becomes {room: {name: is it allowed}}."""
    rooms: dict[str, dict[str, bool]] = {}
    for line in lines:
        room, _, names = line.partition(":")
        rules = {room.strip(): True}
        for name in filter(None, (part.strip() for part in names.split(","))):
            rules[name.removeprefix("-")] = not name.startswith("-")
        rooms[room.strip()] = rules
    return rooms


def allows(rules: Mapping[str, bool], importer: str, imported: str) -> bool:
    """Applies the narrowest rule; the standard library and the packages above one are free."""
    if imported.partition(".")[0] in sys.stdlib_module_names or within(importer, imported):
        return True
    rule = innermost(imported, rules)
    return rule is not None and rules[rule]


class RoomsContract(Contract):
    """Each room imports itself, the standard library and what its line in the table names."""

    type_name = "rooms"

    rooms = fields.ListField(subfield=fields.StringField())
    every_child_of = fields.ListField(subfield=fields.StringField(), required=False, default=[])

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 (inherited)
        """Collects every import that no rule allows, and every room that has no line."""
        rooms = parse(str(line) for line in self.rooms)  # type: ignore[attr-defined]  # descriptors
        children = {
            child
            for parent in self.every_child_of  # type: ignore[attr-defined]  # descriptors
            for child in graph.find_children(str(parent))
        }
        found = [f"{child} has no line in the table" for child in sorted(children - rooms.keys())]
        for importer in sorted(graph.modules):
            room = innermost(importer, rooms)
            if room is None:
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if not allows(rooms[room], importer, imported):
                    places = graph.get_import_details(importer=importer, imported=imported)
                    lines = ", ".join(str(place["line_number"]) for place in places)
                    found.append(f"{importer} -> {imported} (l.{lines}), not in the line of {room}")
        return ContractCheck(
            kept=not found,
            warnings=[f"no module {room} yet" for room in rooms if room not in graph.modules],
            metadata={"found": found},
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints what was found, one a line."""
        for line in check.metadata["found"]:
            output.print_error(f"- {line}", bold=False)
