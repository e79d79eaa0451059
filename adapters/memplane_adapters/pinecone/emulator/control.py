"""The control plane: indexes."""

from __future__ import annotations

import re
from typing import Any, Final

from memplane_adapters.pinecone.emulator.errors import RefusalError, bad
from memplane_adapters.pinecone.emulator.http import Reply
from memplane_adapters.pinecone.emulator.state import Index, State

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,43}[a-z0-9])?")
_TAG_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
_TAG: Final = re.compile(r"[A-Za-z0-9;@_.+ -]{0,120}")
_MOST_TAGS: Final = 20
_METRICS: Final = ("cosine", "dotproduct", "euclidean")
_MOST_DIMENSION: Final = 20_000
_DEPLOYMENT: Final = {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"}


class Control:
    """Makes, shows and removes indexes."""

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, method: str, parts: list[str], body: Any, host: str) -> Reply:
        """A request below /indexes, which came to that host and port."""
        if not parts:
            if method == "POST":
                return Reply(_shown(self._made(body), host), 201)
            shown = [_shown(index, host) for index in self._state.indexes.values()]
            return Reply({"indexes": shown})
        index = self._state.indexes.get(parts[0])
        if index is None or len(parts) > 1:
            raise RefusalError(404, f"Resource {parts[0]} not found")
        if method == "DELETE":
            self._state.remove(parts[0])
            return Reply({}, 202)
        if method == "GET":
            index.described += 1
            return Reply(_shown(index, host))
        raise bad(f"{method} is not emulated")

    def _made(self, body: Any) -> Index:
        if not isinstance(body, dict):
            raise bad("an index is an object")
        name = body.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad("Name must be 1 to 45 lower-case letters, digits and hyphens")
        if name in self._state.indexes:
            raise RefusalError(409, f"Resource {name} already exists")
        tags = body.get("tags") or {}
        model = {
            "name": name,
            "schema": {"fields": {"_values": _values(body.get("schema"))}},
            "deployment": body.get("deployment") or _DEPLOYMENT,
            "tags": _checked(tags),
        }
        return self._state.add(model)


def _shown(index: Index, host: str) -> dict[str, Any]:
    """Ready from the first time on that somebody asks about it: nobody may take that for granted."""
    ready = index.described > 0
    return {
        **index.model,
        "host": f"http://{host}/data/{index.model['name']}",
        "status": {"ready": ready, "state": "Ready" if ready else "Initializing"},
        "deletion_protection": "disabled",
        "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
    }


def _values(schema: Any) -> dict[str, Any]:
    try:
        (field,) = schema["fields"].items()
        name, shape = field
        kind, dimension = shape["type"], shape["dimension"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise bad("the schema of a vector index has one field, _values") from None
    metric = shape.get("metric", "cosine")
    if name != "_values" or kind != "dense_vector":
        raise bad("only vector indexes are emulated: _values, a dense_vector")
    if not isinstance(dimension, int) or not 1 <= dimension <= _MOST_DIMENSION:
        raise bad(f"Dimension must be between 1 and {_MOST_DIMENSION}")
    if metric not in _METRICS:
        raise bad(f"metric must be one of {', '.join(_METRICS)}")
    return {"type": kind, "dimension": dimension, "metric": metric}


def _checked(tags: Any) -> dict[str, str]:
    if not isinstance(tags, dict) or len(tags) > _MOST_TAGS:
        raise bad(f"tags are an object of at most {_MOST_TAGS} names")
    for name, value in tags.items():
        if not _TAG_NAME.fullmatch(name):
            raise bad(f"the name of a tag is 1 to 80 letters, digits, '_' and '-', not {name!r}")
        if not isinstance(value, str) or not _TAG.fullmatch(value):
            raise bad(f"a tag is at most 120 letters, digits and ;@_-.+ or space, not {value!r}")
    return tags
