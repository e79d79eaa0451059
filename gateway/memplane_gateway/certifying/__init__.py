"""Certifying a store: the shipped suite, run against it in a place of its own, and what that shows."""

from memplane_adapters.contract import StoreError
from memplane_gateway.certifying.apart import Apart, NotApartError, set_apart
from memplane_gateway.certifying.findings import Case, Findings
from memplane_gateway.certifying.levels import KEY_VALUES, Level, Proof, Verdict, judge
from memplane_gateway.certifying.report import Certificate, document, markdown, table_row
from memplane_gateway.certifying.running import Selection, missing_modules, run_suite
from memplane_gateway.certifying.subject import Subject, describe

__all__ = [
    "KEY_VALUES",
    "Apart",
    "Case",
    "Certificate",
    "Findings",
    "Level",
    "NotApartError",
    "Proof",
    "Selection",
    "StoreError",
    "Subject",
    "Verdict",
    "describe",
    "document",
    "judge",
    "markdown",
    "missing_modules",
    "run_suite",
    "set_apart",
    "table_row",
]
