"""Certifies the stores of this machine, and writes docs/certification: a report each, and the table."""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from memplane_adapters.conformance.local_stores import Choice, choices
from memplane_adapters.conformance.servers import given, running
from memplane_adapters.contract import Kind
from memplane_gateway.certifying import (
    KEY_VALUES,
    Certificate,
    Findings,
    Level,
    Selection,
    describe,
    judge,
    markdown,
    run_suite,
    set_apart,
    table_row,
)
from memplane_gateway.config.stores import make_store

PAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "certification"
BEGIN: Final = "<!-- certifications: begin -->\n"
END: Final = "<!-- certifications: end -->\n"
HEAD: Final = (
    "| store | level | keeps | what was certified | server, engine or library | cases passed"
    " | largest score deviation | date |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
)
_LINE_SECONDS: Final = 10.0
_ROW: Final = re.compile(r"\| \[([\w-]+)\]\(.*\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Certifies those that are asked for, else all that can be had; 1 if one is not certified."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", default="", help="names, with commas; else all")
    parser.add_argument("--pages", type=Path, default=PAGES, help="the directory to write")
    parser.add_argument("-k", default="", help="cases by name: a try, which certifies nothing")
    chosen = parser.parse_args(arguments)
    wanted = [name for name in chosen.stores.split(",") if name]
    there = {each.name: each for each in choices() if each.store is None or each.store.kept}
    unknown = [name for name in wanted if name not in there]
    if unknown:
        parser.error(f"no store is called {', '.join(unknown)}; there are: {', '.join(there)}")
    failed = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # there is something to be removed
    for choice in (there[name] for name in wanted or there):
        if choice.problem:
            print(f"{choice.name}: {choice.problem}", file=sys.stderr)
            failed = failed or bool(wanted)
            continue
        # A server may be at hand without what keeps vectors.
        promise = "" if Kind.SEMANTIC in choice.kinds else KEY_VALUES
        made = certify(choice, Selection(expression=chosen.k, promise=promise))
        print(f"{choice.name}: {made.verdict}")
        for why in made.verdict.why:
            print(f"  {why}")
        publish(made, chosen.pages)
        failed = failed or made.verdict.level is Level.NONE
    return int(failed)


def certify(choice: Choice, selection: Selection) -> Certificate:
    """Runs the suite on a local store, on a server of its own where it needs one."""
    assert choice.adapter is not None
    assert choice.store is not None
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="certify-")))
        store = choice.store
        if not store.program:
            url = store.at(directory).url
        elif given(store):
            url = given(store)
        else:
            url = stack.enter_context(running(store, directory / "server")).url
        settings = make_store(choice.adapter.name, choice.adapter.from_url(url))
        apart = set_apart(settings, directory)
        left: list[str] = []
        try:
            subject = describe(apart, store.nature)
            findings = run_suite(apart, selection, Told(choice.name))
        finally:
            left += apart.remove()
    return Certificate(
        store=choice.name,
        subject=subject,
        findings=findings,
        verdict=judge(findings, partial=selection.partial),
        version=version("memplane-gateway"),
        on=datetime.now(UTC).date(),
        left=tuple(left),
    )


class Told:
    """Says what failed, and now and then how far it is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = time.monotonic()
        self._failed = 0

    def __call__(self, findings: Findings) -> None:
        failed = findings.of("failed")
        for case in failed[self._failed :]:
            self._say(f"failed: {case.id}: {case.reason}")
        self._failed = len(failed)
        if time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            self._say(f"{len(findings.cases)} of {findings.expected} cases, {len(failed)} failed")

    def _say(self, text: str) -> None:
        print(f"{self._name}: {text}", file=sys.stderr, flush=True)


def publish(made: Certificate, pages: Path) -> None:
    """Writes a report, and its row of the table."""
    report = pages / f"{made.store}.md"
    report.write_text(markdown(made, address=False), "utf-8")
    page = pages / "README.md"
    before, rest = page.read_text("utf-8").split(BEGIN)
    table, after = rest.split(END)
    rows = {row[1]: row[0] for row in _ROW.finditer(table)}
    rows[made.store] = table_row(made, report.name)
    page.write_text(f"{before}{BEGIN}{''.join(_ordered(rows))}{END}{after}", "utf-8")


def _ordered(rows: dict[str, str]) -> Iterator[str]:
    yield HEAD
    for name in sorted(rows, key=lambda name: (name != "embedded", name)):
        yield rows[name]


if __name__ == "__main__":
    sys.exit(main())
