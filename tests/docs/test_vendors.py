"""The table of vendors in the README: all are there, and the line of each is right."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from memplane_gateway.config.stores import check_keys, find_adapter, installed

README = Path(__file__).resolve().parents[2] / "README.md"


def test_each_vendor_has_its_line() -> None:
    lines = re.findall(
        r"^\|[^|]*\| `(\{adapter: .*?\})` \|", README.read_text("utf-8"), re.MULTILINE
    )
    named = []
    for line in lines:
        keys = yaml.safe_load(line)
        adapter = find_adapter(keys.pop("adapter"))
        check_keys(adapter.settings, keys, line)
        named.append(adapter.name)
    assert sorted(named) == sorted({find_adapter(name).name for name in installed()})
