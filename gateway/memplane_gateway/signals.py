"""The signals that ask the gateway to stop."""

from __future__ import annotations

import asyncio
import signal


class Signals:
    """The first and the second request to stop."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._asked)
            except NotImplementedError:  # Windows: no handlers on its loops
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._asked))

    def _asked(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
