"""`memplane certify`: hold a configured store to the contract."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from memplane_gateway.cli import exits, options, output
from memplane_gateway.cli.bar import Bar
from memplane_gateway.cli.version import gateway_version

if TYPE_CHECKING:
    from memplane_gateway.certifying import Apart, Certificate, Findings, Selection, Subject
    from memplane_gateway.config import Settings, StoreSettings


class LevelName(StrEnum):
    """What may be asked of a store."""

    BASE = "base"
    FULL = "full"


class HalfName(StrEnum):
    """A half of the suite."""

    STORES = "stores"
    MEMORIES = "memories"


class PromiseName(StrEnum):
    """What a store keeps."""

    VECTORS = "vectors"
    KEY_VALUES = "key-values"


def certify(
    store: Annotated[str, typer.Option("--store", "-s", help="Its name in the configuration.")],
    *,
    config: options.Config = None,
    data: options.Data = None,
    level: Annotated[
        LevelName, typer.Option("--level", help="The level that it is to reach.")
    ] = LevelName.FULL,
    quick: Annotated[
        bool, typer.Option("--quick", help="A part of the suite, for a first look. No level.")
    ] = False,
    expression: Annotated[
        str, typer.Option("-k", help="Cases by name, as pytest -k takes them. No level.")
    ] = "",
    half: Annotated[
        HalfName | None,
        typer.Option(
            "--half", help="Only what the gateway asks of it, or what clients do. No level."
        ),
    ] = None,
    promise: Annotated[
        PromiseName | None,
        typer.Option(
            "--promise", help="Only one of two promises, as where a server has no vectors."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write the report there, as Markdown.")
    ] = None,
    form: options.Output = options.OutputForm.TABLE,
) -> None:
    """Run the conformance suite against a store, in a place of its own, and say what it shows.

    What is in the store stays untouched; what the suite makes is removed. Needs the extra "conformance".

    memplane certify --store qdrant-main --report certified.md
    """
    from memplane_gateway.certifying import Selection, missing_modules
    from memplane_gateway.cli.settings import read_settings

    missing = missing_modules()
    if missing:
        _leave(
            form,
            f"this needs {', '.join(missing)}, which is not installed:"
            " pip install 'memplane-gateway[conformance]'",
        )
    settings = read_settings(config, data=data, everything=True)
    chosen = _chosen(settings, store, form)
    apart = _set_apart(chosen, settings, form)
    selection = Selection(
        quick=quick,
        expression=expression,
        half="" if half is None else half.value,
        promise="" if promise is None else promise.value,
    )
    certificate = _certify(store, apart, selection, form)
    _show(certificate, form)
    if report is not None:
        _write(report, certificate)
    reached = certificate.verdict.level.value.lower()
    if reached not in (LevelName.FULL, level):
        exits.leave(exits.FAILED)


def _chosen(settings: Settings, name: str, form: options.OutputForm) -> StoreSettings:
    from memplane_gateway.config import AdoptedSettings
    from memplane_gateway.config.problems import nearest_and_list

    chosen = settings.stores.get(name)
    if chosen is None:
        known = nearest_and_list(name, settings.stores, "configured")
        _leave(form, f'no store is called "{name}"; {known}')
    if isinstance(chosen, AdoptedSettings):
        _leave(form, f'the store "{name}" is a collection of others, and read-only')
    return chosen


def _set_apart(chosen: StoreSettings, settings: Settings, form: options.OutputForm) -> Apart:
    from memplane_gateway.certifying import NotApartError, set_apart
    from memplane_gateway.config.stores import AdapterError

    try:
        return set_apart(chosen, settings.data_dir)
    except NotApartError as error:
        _leave(form, str(error))
    except AdapterError as error:
        _leave(form, f"{error}. {error.suggestion}".rstrip())


def _certify(
    store: str, apart: Apart, selection: Selection, form: options.OutputForm
) -> Certificate:
    """All of it; what it made is removed again, whatever happens."""
    from memplane_gateway.certifying import Certificate, judge

    left = [f"what was made, in {apart}: a second interruption came before it was removed"]
    try:
        with interrupting():
            try:
                subject = _described(store, apart, form)
                findings = _run(apart, selection, form)
            finally:
                left = apart.remove()
    except KeyboardInterrupt:
        _say_left(left)
        exits.say(f"memplane: interrupted{'' if left else '; what was made is removed'}")
        exits.leave(exits.INTERRUPTED)
    _say_left(left)
    verdict = judge(findings, partial=selection.partial)
    today = datetime.now(UTC).date()
    return Certificate(store, subject, findings, verdict, gateway_version(), today, tuple(left))


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """These, too, are interruptions, after which there is something to be removed.

    SIGHUP comes when the terminal is closed, and is ignored under nohup.
    """
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if _ends(each)]
    before = {each: signal.signal(each, signal.default_int_handler) for each in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ends(number: signal.Signals) -> bool:
    return signal.getsignal(number) is not signal.SIG_IGN


def _described(store: str, apart: Apart, form: options.OutputForm) -> Subject:
    from memplane_gateway.certifying import StoreError, describe

    try:
        return describe(apart)
    except StoreError as error:
        _leave(form, f'the store "{store}": {error}', exits.UNAVAILABLE)
    except TimeoutError:
        _leave(form, f'the store "{store}" does not answer', exits.UNAVAILABLE)


def _say_left(left: list[str]) -> None:
    for each in left:
        exits.say(f"memplane: left behind: {each}")


def _run(apart: Apart, selection: Selection, form: options.OutputForm) -> Findings:
    from memplane_gateway.certifying import run_suite

    lines = form is not options.OutputForm.JSON
    with Bar(None, lines=lines) as bar:

        def tell(findings: Findings) -> None:
            done, failed = len(findings.cases), len(findings.of("failed"))
            bar.expect(findings.expected)
            bar.tell(done, f"{done:,} cases, {failed} failed")

        return run_suite(apart, selection, tell)


def _show(made: Certificate, form: options.OutputForm) -> None:
    from memplane_gateway.certifying import document

    shown = document(made)
    if form is options.OutputForm.JSON:
        output.print_json(shown)
        return
    for case in shown["failed"]:
        exits.say(f"failed: {output.visible(case['case'])}: {output.visible(case['reason'])}")
    output.print_pairs(_pairs(made, shown))
    sys.stdout.write("\n")
    output.print_table(
        ("PROMISE", "CAPABILITY", "DECLARED", "PROVEN BY"),
        [
            (each["promise"], each["name"], each["declared"] or "no", _proof(each))
            for each in shown["capabilities"]
        ],
    )


def _pairs(made: Certificate, shown: dict[str, Any]) -> list[tuple[str, Any]]:
    subject, cases, scores = shown["subject"], shown["cases"], shown["scores"]
    parts = ", ".join(each for each in (subject["server"], subject["library"]) if each)
    pairs: list[tuple[str, Any]] = [
        ("store", f"{made.store} ({subject['adapter']}, {subject['nature']})"),
        ("made of", parts or None),
        ("address", subject["address"] or None),
        ("cases", ", ".join(f"{number:,} {name}" for name, number in cases.items())),
    ]
    if scores["compared"]:
        said = f"{scores['largest_deviation']:.1e} at most, over {scores['compared']:,} hits"
        pairs.append(("score deviation", said))
    pairs.append(("level", str(made.verdict)))
    return [*pairs, *(("", why) for why in made.verdict.why)]


def _proof(capability: dict[str, Any]) -> str | None:
    if capability["failed"]:
        return f"{len(capability['failed'])} cases failed"
    return f"{capability['cases']} cases" if capability["cases"] else None


def _write(file: Path, made: Certificate) -> None:
    from memplane_gateway.certifying import markdown

    try:
        file.write_text(markdown(made), "utf-8")
    except OSError as error:
        exits.leave(exits.IO, f"{file}: {error.strerror}")


def _leave(form: options.OutputForm, message: str, code: int = exits.CONFIG) -> NoReturn:
    if form is options.OutputForm.JSON:
        name = "UNAVAILABLE" if code == exits.UNAVAILABLE else "FAILED_PRECONDITION"
        exits.say_json(name, output.visible(message))
        exits.leave(code)
    exits.leave(code, output.visible(message))
