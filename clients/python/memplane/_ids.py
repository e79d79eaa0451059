"""UUIDv7: ids that sort by the time of their making, for keys and request ids."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

_COUNTER_BITS: Final = 42
_lock: Final = threading.Lock()
_last_ms = 0
_counter = 0


def uuid7() -> str:
    """A new UUIDv7 in its usual form (RFC 9562: 48 bits of Unix milliseconds first).

    Ids of one process grow strictly, also within a millisecond and when the clock is set back:
    a counter of 42 bits, begun at random every millisecond, follows the time (method 1).
    """
    global _last_ms, _counter  # noqa: PLW0603 (one clock a process)
    random = int.from_bytes(os.urandom(10), "big")
    with _lock:
        now = time.time_ns() // 1_000_000
        if now > _last_ms:
            _last_ms = now
            # The top bit begins as 0, so that the counter cannot run over within a millisecond.
            _counter = random >> 39
        else:
            _counter += 1
            if _counter >> _COUNTER_BITS:
                _last_ms += 1
                _counter = random >> 39
        milliseconds, counter = _last_ms, _counter
    number = milliseconds << 80
    number |= 0x7 << 76 | (counter >> 30) << 64
    number |= 0b10 << 62 | (counter & 0x3FFF_FFFF) << 32 | random & 0xFFFF_FFFF
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
