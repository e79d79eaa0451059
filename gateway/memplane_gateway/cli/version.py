"""`memplane version`."""

from __future__ import annotations

import platform
import sqlite3
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from memplane_gateway.cli import options, output


def gateway_version() -> str:
    """The version of this distribution."""
    try:
        return version_of("memplane-gateway")
    except PackageNotFoundError:
        return "0.0.0"  # a checkout on the path that is not installed


def version(form: options.Output = options.OutputForm.TABLE) -> None:
    """Print the versions of the gateway and of what it stands on."""
    parts = {
        "memplane-gateway": gateway_version(),
        "grpcio": version_of("grpcio"),
        "protobuf": version_of("protobuf"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    if form is options.OutputForm.JSON:
        output.print_json(parts)
        return
    first, *others = [f"{name} {number}" for name, number in parts.items()]
    sys.stdout.write(f"{first} ({', '.join(others)})\n")
