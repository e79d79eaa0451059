"""Starts a PostgreSQL of one's own: `python -m memplane_adapters.postgres.local PROGRAM DIRECTORY HOST PORT`.

Makes the cluster when there is none yet, and becomes the server. PostgreSQL refuses to run as root:
root becomes "nobody" with the right to pass through directories that are closed to others, which
is what `setpriv` of Linux is for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

USER: Final = "memplane"
"""The database's own user, who may do everything and needs no password."""
_NOBODY: Final = 65534
_PASSING: Final = "-all,+dac_override"


def main(program: str, directory: str, host: str, port: str) -> None:
    """Become the server."""
    data = Path(directory) / "cluster"
    prefix = _unprivileged(data)
    if not (data / "PG_VERSION").exists():
        # Debian links to its programs one by one; those of a version lie beside each other.
        initdb = Path(program).resolve().with_name("initdb")
        subprocess.run(  # noqa: S603 (the program that was found)
            [
                *prefix,
                *(str(initdb), "--pgdata", str(data), "--username", USER, "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C", "--no-instructions", "--no-sync"),
            ],
            check=True,
        )
    settings = {"listen_addresses": host, "port": port, "unix_socket_directories": ""}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    _become([*prefix, program, "-D", str(data), *options])


def _unprivileged(data: Path) -> Sequence[str]:
    """What to put before a program, so that it does not run as root; the directory is then its."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        sys.exit("PostgreSQL does not run as root, and there is no setpriv to become somebody else")
    os.chown(data, _NOBODY, _NOBODY)
    return (
        *(setpriv, "--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"),
        *("--inh-caps", _PASSING, "--ambient-caps", _PASSING, "--"),
    )


def _become(command: Sequence[str]) -> None:
    os.execv(command[0], list(command))  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(*sys.argv[1:])
