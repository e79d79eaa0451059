"""Options that several words share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class KindName(StrEnum):
    """A kind of memory."""

    SEMANTIC = "semantic"
    EPISODIC = "episodic"
    PROCEDURAL = "procedural"


class OutputForm(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"


Target = Annotated[
    str,
    typer.Option(
        "--target",
        envvar="MEMPLANE_TARGET",
        help="The gateway: host:port or unix:PATH.",
        show_default=True,
    ),
]
DEFAULT_TARGET = "localhost:50051"

Kind = Annotated[
    KindName, typer.Option("--kind", "-k", case_sensitive=False, help="The kind of memory.")
]
Namespace = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace", "-n", help="A label of the namespace; repeat it for a path: -n a -n b."
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait at most.")]
DEFAULT_TIMEOUT = 30.0
Output = Annotated[
    OutputForm, typer.Option("--output", "-o", help="For people, or for programs (stable names).")
]
FilterText = Annotated[
    str | None,
    typer.Option("--filter", help="""Which memories, as JSON: '{"price": {"$gte": 3}}'."""),
]
ExactNamespace = Annotated[
    bool, typer.Option("--exact", help="Only this very namespace, not those below it.")
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The YAML file; else MEMPLANE_CONFIG, ./memplane.yaml."),
]
Data = Annotated[Path | None, typer.Option("--data", help="Directory of the embedded store.")]
