"""What every call passes on its way to a service, one file a step.

The order, outermost first, is this list:

1. observe: outermost, so that its line says what the caller heard.
2. errors: around all that can fail, so that nothing leaves as UNKNOWN.
3. draining: before any work, so that a gateway that is to stop begins none.
4. deadline: around the work, so that all of it is bounded.
5. auth: before the bytes are read, so that garbage of a stranger costs nothing.
6. (admission: after auth, since quotas are a tenant's.)
7. decode: innermost; the service sees messages.
"""

from __future__ import annotations

from collections.abc import Iterable

from memplane_gateway.interceptors.auth import auth
from memplane_gateway.interceptors.beside import SafeServer
from memplane_gateway.interceptors.call import Call, Handler, Interceptor, Wire
from memplane_gateway.interceptors.deadline import deadline
from memplane_gateway.interceptors.decode import decode
from memplane_gateway.interceptors.draining import Draining
from memplane_gateway.interceptors.edge import generic_handlers
from memplane_gateway.interceptors.errors import errors
from memplane_gateway.interceptors.observe import observe
from memplane_gateway.wire.rpc import Rpc


def intercepted(
    rpcs: Iterable[Rpc], draining: Draining, *, default_deadline_seconds: float
) -> dict[str, Handler]:
    """A handler a rpc, by path, with all interceptors around it."""
    order: tuple[Interceptor, ...] = (
        observe,
        errors,
        draining.intercept,
        deadline(default_deadline_seconds),
        auth,
    )
    handlers: dict[str, Handler] = {}
    for rpc in rpcs:
        handler = decode(rpc)
        for interceptor in reversed(order):
            handler = interceptor(rpc, handler)
        handlers[rpc.path] = handler
    return handlers


__all__ = ["Call", "Draining", "Handler", "SafeServer", "Wire", "generic_handlers", "intercepted"]
