"""Whom a client trusts."""

from __future__ import annotations

import ssl

from memplane_adapters.contract import StoreError, StoreReason


def trusted(ca_file: str) -> ssl.SSLContext:
    """The certificates in a file, or with "" the usual ones. Raises StoreError that names the file."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # those of ssl are such, too
        raise StoreError(StoreReason.MISCONFIGURED, f"ca_file {ca_file}: {error}") from error


def is_distrust(error: BaseException) -> bool:
    """Whether TLS failed for what either side is, and not since a connection ended meanwhile."""
    ended = ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
    return isinstance(error, ssl.SSLError) and not isinstance(error, ended)
