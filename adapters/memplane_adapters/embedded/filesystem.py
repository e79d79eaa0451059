"""Whether a directory can hold the file: it is ours to write, and on this very machine."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from memplane_adapters.contract import StoreError, StoreReason
from memplane_adapters.embedded import errors

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs"}
    | {"ceph", "glusterfs", "lustre", "gpfs", "fuse.ceph", "fuse.glusterfs", "fuse.juicefs"}
    | {"fuse.sshfs", "fuse.smbnetfs", "fuse.curlftpfs", "fuse.davfs", "fuse.davfs2"}
    | {"fuse.s3fs", "fuse.mount-s3", "fuse.goofys", "fuse.gcsfuse", "fuse.rclone"}
    | {"fuse.blobfuse", "fuse.blobfuse2"}
)
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_ESCAPE = re.compile(r"\\([0-7]{3})")


def prepare(directory: Path) -> None:
    """Make the directory when it is missing, and refuse one that cannot hold the file."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.from_os(error, directory) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise _not_ours(directory)
    kind = _kind(directory)
    if kind in _NETWORK:
        raise StoreError(
            StoreReason.MISCONFIGURED,
            f"{directory} is on a network file system ({kind}), where SQLite files get damaged; "
            "choose a local directory",
        )


def prepare_file(path: Path) -> None:
    """Make the file, for its owner only, or refuse one that cannot be written."""
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        raise _not_ours(path)
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise errors.from_os(error, path) from error


def memory_filesystem(directory: Path) -> str | None:
    """The type of the file system in memory that a directory is on, where the machine tells."""
    kind = _kind(directory)
    return kind if kind in _IN_MEMORY else None


def filesystem(mountinfo: str, path: Path) -> str | None:
    """The type of the file system that an absolute path is on, by /proc/self/mountinfo."""
    best, found = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        columns, kinds = before.split(" "), after.split(" ")
        if len(columns) < 5 or not kinds[0]:
            continue
        mount = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), columns[4]))
        # Of several mounts on one directory the last one counts.
        if path.is_relative_to(mount) and len(mount.parts) >= best:
            best, found = len(mount.parts), kinds[0]
    return found or None


def _kind(directory: Path) -> str | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        mountinfo = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    return filesystem(mountinfo, directory)


def _not_ours(path: Path) -> StoreError:
    what = "not a file that can be" if path.exists() and not path.is_dir() else "not"
    sentence = f"{path} is {what} readable and writable"
    if sys.platform != "win32":
        owner = path.stat()
        sentence += (
            f" for user {os.geteuid()}; it belongs to user {owner.st_uid} "
            f"with mode {owner.st_mode & 0o7777:04o}"
        )
    return StoreError(StoreReason.MISCONFIGURED, sentence)
