"""A contract for import-linter: a table that says what each room of the house may import.

import-linter's own contracts forbid; this one allows, so that a new dependency is seen the day it
comes. It looks at direct imports only: what is imported is a room with a line of its own, or with
the line of its like.
"""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions, requires
from typing import TYPE_CHECKING

from importlinter import Contract, ContractCheck, fields, output
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def installed_by(distribution: str, extra: str) -> set[str]:
    """The import packages of what an extra names; without such an extra, none."""
    named = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, requires(distribution) or ())
        if requirement.marker is not None
        and requirement.marker.evaluate({"extra": canonicalize_name(extra)})
        and not requirement.marker.evaluate({"extra": ""})
    }
    return {
        package
        for package, owners in packages_distributions().items()
        if named & {canonicalize_name(owner) for owner in owners}
    }


def settle(
    rooms: Mapping[str, Mapping[str, bool]], children: Mapping[str, Iterable[str]]
) -> dict[str, dict[str, bool]]:
    """Gives each child of "package.*" without a line of its own that line.

    `children` holds the packages directly under each package. "distribution[*]" becomes what the
    extra of the child's name installs.
    """
    settled = {room: dict(rules) for room, rules in rooms.items() if not room.endswith(".*")}
    for room in rooms.keys() - settled.keys():
        for child in sorted(set(children[room.removesuffix(".*")]) - settled.keys()):
            settled[child] = {child: True}
            for name, allowed in rooms[room].items():
                if name.endswith("[*]"):
                    extra = child.rpartition(".")[2]
                    found = installed_by(name.removesuffix("[*]"), extra)
                    settled[child].update(dict.fromkeys(found, allowed))
                elif name != room:
                    settled[child][name] = allowed
    return settled


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

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 (inherited)
        """Collects every import that no rule allows."""
        table = parse(str(line) for line in self.rooms)  # type: ignore[attr-defined]  # descriptors
        above = [room.removesuffix(".*") for room in table if room.endswith(".*")]
        rooms = settle(table, {package: graph.find_children(package) for package in above})
        found: list[str] = []
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
