"""A door of our own before a server in this process: it can be shut, held and opened again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from memplane_adapters.conformance.servers import HOST, free_ports

_CHUNK = 65_536


class Forwarder:
    """Forwards connections on one port of its own; has the words of a server that is a process."""

    def __init__(self, upstream: str, *, suffix: str = "", end: Callable[[], None]) -> None:
        address = urlsplit(upstream)
        assert address.port is not None
        self._upstream = (HOST, address.port)
        (self._port,) = free_ports(1)
        self.url = f"http://{HOST}:{self._port}{suffix}"
        self._end = end
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()

    def start(self) -> Self:
        """Take connections."""
        assert self._listener is None, "one at a time"
        self._listener = socket.create_server((HOST, self._port))
        self._run(self._accept, self._listener)
        return self

    def stop(self) -> None:
        """Refuse connections, and break those that are there."""
        self.resume()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits for a connection
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._threads.clear()

    def kill(self) -> None:
        """The same: what is behind the door has no time to tidy up either way."""
        self.stop()

    def pause(self) -> None:
        """Take connections, and answer nothing."""
        self._flowing.clear()

    def resume(self) -> None:
        """Answer again, also what came meanwhile."""
        self._flowing.set()

    def close(self) -> None:
        """Stop for good, and what is behind too."""
        self.stop()
        self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._upstream)
            self._open |= {near, far}
            self._run(self._carry, near, far)

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(far, near))
        back.start()
        self._pump(near, far)
        back.join()
        self._open -= {near, far}
        near.close()
        far.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flowing.wait()
                sink.sendall(data)
        for one in (source, sink):  # one way is over, and so is the other
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
