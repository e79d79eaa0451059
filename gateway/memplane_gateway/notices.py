"""What the operator of a gateway should know about its configuration."""

from __future__ import annotations

from memplane_gateway.config import EMBEDDED, Settings
from memplane_gateway.memory.questions import Mode
from memplane_gateway.routes import Router


def notices(settings: Settings, router: Router) -> list[str]:
    """One a sentence, the weightiest first."""
    embedders = dict.fromkeys(
        route.embedder.notice
        for route in router.routes
        if route.embedder is not None and route.embedder.notice
    )
    shown = list(embedders)
    if not settings.address.local:
        shown.insert(
            0,
            f"The gateway listens on {settings.address} without authentication: whoever reaches "
            "this address can read and change every memory.",
        )
    own = [route.kind.value for route in router.routes if route.adapter == EMBEDDED]
    if settings.control_is_shared and own:
        shown.append(
            f"The control store can be shared, but {', '.join(own)} memories are in this gateway's "
            "own embedded store: other gateways do not see them."
        )
    for route in router.routes:
        reached = route.state.reached
        if reached is not None and route.kind in reached.wordless and route.search != Mode.VECTOR:
            shown.append(
                f"The collection of the {route.kind.value} route in the store {route.store_name} was "
                "made without words, so searches by words are refused there, and a search without a "
                f"mode is one ({route.search}). Give the route `search: vector`, or write its "
                "memories anew into a store with another `prefix`."
            )
    for route in router.routes:
        dead = route.outbox.standing.dead if route.outbox is not None else 0
        if dead:
            shown.append(
                f"The outbox of the {route.kind.value} route holds {dead} dead letter"
                f"{'s' if dead > 1 else ''}, acknowledged and not in the store: "
                "memplane outbox list --dead."
            )
    shown += [route.read_only.notice for route in router.routes if route.read_only is not None]
    return shown
