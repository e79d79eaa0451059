"""A gateway that ends with whoever started it: its standard input is a pipe that he holds open."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

_STDIN = 0
_CHUNK = 4096


def stop_at_eof() -> None:
    """Has this process asked to stop, as by SIGTERM, when its standard input ends.

    A thread looks, and no event loop: so it is seen while stores are being opened, too.
    """
    threading.Thread(target=_watch, name="until-eof", daemon=True).start()


def _watch() -> None:
    with contextlib.suppress(OSError):  # there is none, or its terminal is gone: that is its end
        while os.read(_STDIN, _CHUNK):
            pass
    if os.name == "nt":  # where os.kill ends a process without asking
        signal.raise_signal(signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGTERM)
