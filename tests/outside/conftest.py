"""Installs the example adapter into a directory of its own, as pip would, but without network."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

CARDBOX = Path(__file__).parent / "cardbox"


def install(source: Path, site: Path) -> None:
    """What `pip install --target` leaves of a pure package, as far as importlib.metadata reads it."""
    project: Mapping[str, Any] = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    name, version = project["name"].replace("-", "_"), project["version"]
    shutil.copytree(source / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    )
    lines: list[str] = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{point} = {target}" for point, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process in which the example is installed."""
    site = tmp_path_factory.mktemp("site")
    install(CARDBOX, site)
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("MEMPLANE_")}
    return {**kept, "PYTHONPATH": str(site)}
