"""Ctrl-C that waits for a place where it does no harm."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_STDERR = 2
_SAID = b"stopping after what is under way; Ctrl-C again stops at once\n"


class Interrupts:
    """Notes Ctrl-C while the block lasts, for `look` to raise it; a second one is raised where it is.

    Python raises it between any two steps of the main thread, in the middle of gRPC's work, too, which
    may then keep a lock that nobody gives back.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def look(self) -> None:
        """Raises KeyboardInterrupt when it was asked for."""
        if self._asked:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        ours = threading.current_thread() is threading.main_thread()
        # What a shell has started in the background ignores it, and goes on doing so.
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        os.write(_STDERR, _SAID)  # not by sys.stderr, which may be in the middle of writing
