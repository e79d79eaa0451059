"""The data plane: the vectors of an index."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
import orjson

from memplane_adapters.pinecone.emulator.errors import RefusalError, bad
from memplane_adapters.pinecone.emulator.http import Reply, Request
from memplane_adapters.pinecone.emulator.metadata import compiled, normalized
from memplane_adapters.pinecone.emulator.search import nearest
from memplane_adapters.pinecone.emulator.state import (
    Change,
    Index,
    Namespace,
    Record,
    State,
    fields,
)

_MOST_VECTORS: Final = 1_000
_MOST_IDS: Final = 1_000
_MOST_ID: Final = 512
_MOST_NAMESPACE: Final = 512
_MOST_TOP_K: Final = 10_000
_MOST_LISTED: Final = 100
_MOST_FETCHED: Final = 10_000
_MOST_ANSWER: Final = 4 * 1024 * 1024
_DEFAULT: Final = "__default__"
_USAGE: Final = {"readUnits": 1}


class Data:
    """Answers for all indexes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._by_path: Mapping[str, Callable[[Index, Any], Reply]] = {
            "vectors/upsert": self._upsert,
            "vectors/update": self._update,
            "vectors/delete": self._delete,
            "vectors/fetch_by_metadata": self._fetch_by_metadata,
            "query": self._query,
            "describe_index_stats": self._stats,
        }

    def answer(self, name: str, request: Request, parts: list[str], body: Any) -> Reply:
        """A request to an index's host."""
        index = self._state.indexes.get(name)
        if index is None:
            raise RefusalError(404, f"Index {name} not found")
        if not index.described:
            raise RefusalError(503, f"Index {name} is not ready")
        if parts[0] == "namespaces":
            return self._namespaces(index, request, parts[1:], body)
        path = "/".join(parts)
        if request.method == "GET" and path == "vectors/fetch":
            return self._fetch(index, request)
        if request.method == "GET" and path == "vectors/list":
            return self._list(index, request)
        if request.method != "POST" or path not in self._by_path:
            raise RefusalError(404, f"there is nothing at {request.path}")
        if not isinstance(body, dict):
            raise bad("the body is an object")
        return self._by_path[path](index, body)

    # --- writes -----------------------------------------------------------------------------

    def _upsert(self, index: Index, body: Any) -> Reply:
        vectors = body.get("vectors")
        if not isinstance(vectors, list) or not vectors:
            raise bad("vectors must be a list that is not empty")
        if len(vectors) > _MOST_VECTORS:
            raise bad(f"at most {_MOST_VECTORS} vectors can be upserted at once")
        records = [_record(given, index.dimension) for given in vectors]
        lsn = self._state.commit(index, _space(body), [(each.id, each) for each in records])
        return _committed({"upsertedCount": len(records)}, lsn)

    def _update(self, index: Index, body: Any) -> Reply:
        name = _space(body)
        committed = self._namespace(index, name).committed
        if "filter" in body:
            test = compiled(body["filter"])
            found = [each for each in committed.values() if test(each.metadata)]
        elif body.get("id") in committed:
            found = [committed[body["id"]]]
        else:
            found = []
        if body.get("dryRun"):
            return Reply({"matchedRecords": len(found)})
        changes: list[Change] = []
        for old in found:
            metadata = normalized({**old.metadata, **(body.get("setMetadata") or {})}, old.id)
            values = old.values
            if "values" in body:
                values = _vector(body["values"], index.dimension, old.id)
            changes.append((old.id, Record(old.id, values, metadata)))
        lsn = self._state.commit(index, name, changes)
        return _committed({"matchedRecords": len(found)} if "filter" in body else {}, lsn)

    def _delete(self, index: Index, body: Any) -> Reply:
        given = [word for word in ("ids", "filter", "deleteAll") if body.get(word)]
        if len(given) != 1:
            raise bad("exactly one of ids, filter and deleteAll must be given")
        name = _space(body)
        if name not in index.namespaces:
            raise RefusalError(404, "Namespace not found")
        committed = index.namespaces[name].committed
        if given == ["ids"]:
            ids = _ids(body["ids"])
        elif given == ["filter"]:
            test = compiled(body["filter"])
            ids = [each.id for each in committed.values() if test(each.metadata)]
        else:
            ids = list(committed)
        return _committed({}, self._state.commit(index, name, [(one, None) for one in ids]))

    # --- reads ------------------------------------------------------------------------------

    def _query(self, index: Index, body: Any) -> Reply:
        number = body.get("topK")
        if not isinstance(number, int) or not 1 <= number <= _MOST_TOP_K:
            raise bad(f"topK must be between 1 and {_MOST_TOP_K}")
        name = _space(body)
        space = self._namespace(index, name)
        if ("vector" in body) is ("id" in body):
            raise bad("exactly one of vector and id must be given")
        found: Iterable[Record] = space.visible.values()
        if "filter" in body:
            test = compiled(body["filter"])
            found = [each for each in found if test(each.metadata)]
        if "vector" in body:
            vector = _vector(body["vector"], index.dimension, "query")
        elif body["id"] in space.visible:
            vector = space.visible[body["id"]].values
        else:
            found, vector = [], np.zeros(index.dimension, np.float32)
        matches: list[dict[str, Any]] = []
        for record, score in nearest(vector, list(found), number, index.metric):
            match: dict[str, Any] = {"id": record.id, "score": score}
            if body.get("includeValues"):
                match["values"] = record.values
            if body.get("includeMetadata"):
                match["metadata"] = record.metadata
            matches.append(match)
        answer = {"matches": matches, "namespace": name, "usage": _USAGE}
        if len(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)) > _MOST_ANSWER:
            raise bad(f"the result is larger than {_MOST_ANSWER} bytes")
        headers = {"x-pinecone-lsn-reconciled": str(space.indexed)}
        space.move_on()
        return Reply(answer, headers=headers)

    def _fetch(self, index: Index, request: Request) -> Reply:
        """Lags as a query does, and does not say how much."""
        name = request.query.get("namespace", [_DEFAULT])[0]
        space = self._namespace(index, name)
        ids = _ids(request.query.get("ids", []))
        found = {one: fields(space.visible[one]) for one in ids if one in space.visible}
        space.move_on()
        return Reply({"vectors": found, "namespace": name, "usage": _USAGE})

    def _fetch_by_metadata(self, index: Index, body: Any) -> Reply:
        name = _space(body)
        if name not in index.namespaces:  # not documented; to delete there is refused like this
            raise RefusalError(404, "Namespace not found")
        space = index.namespaces[name]
        test = compiled(body.get("filter"))
        limit = body.get("limit", 100)
        if not isinstance(limit, int) or not 1 <= limit <= _MOST_FETCHED:
            raise bad(f"limit must be between 1 and {_MOST_FETCHED}")
        after = _opened(body.get("paginationToken"))
        found: dict[str, Any] = {}
        size, following = 0, ""
        for one in sorted(space.visible):
            record = space.visible[one]
            if one <= after or not test(record.metadata):
                continue
            if len(found) >= limit or size > _MOST_ANSWER // 2:
                following = max(found)
                break
            found[one] = fields(record)
            size += len(orjson.dumps(found[one], option=orjson.OPT_SERIALIZE_NUMPY))
        space.move_on()
        pagination = {"next": _sealed(following)} if following else None
        return Reply(
            {"vectors": found, "namespace": name, "usage": _USAGE, "pagination": pagination}
        )

    def _list(self, index: Index, request: Request) -> Reply:
        name = request.query.get("namespace", [_DEFAULT])[0]
        space = self._namespace(index, name)
        prefix = request.query.get("prefix", [""])[0]
        limit = int(request.query.get("limit", [str(_MOST_LISTED)])[0])
        if not 1 <= limit <= _MOST_LISTED:
            raise bad(f"limit must be between 1 and {_MOST_LISTED}")
        after = _opened(request.query.get("paginationToken", [None])[0])
        ids = [one for one in sorted(space.visible) if one > after and one.startswith(prefix)]
        space.move_on()
        page = ids[:limit]
        answer: dict[str, Any] = {"vectors": [{"id": one} for one in page], "namespace": name}
        if len(ids) > limit:
            answer["pagination"] = {"next": _sealed(page[-1])}
        return Reply({**answer, "usage": _USAGE})

    def _stats(self, index: Index, body: Any) -> Reply:
        if body.get("filter"):
            raise bad("filters are not supported for describe_index_stats")
        numbers = {name: len(space.visible) for name, space in index.namespaces.items()}
        for space in index.namespaces.values():
            space.move_on()
        return Reply(
            {
                "namespaces": {name: {"vectorCount": number} for name, number in numbers.items()},
                "dimension": index.dimension,
                "indexFullness": 0.0,
                "totalVectorCount": sum(numbers.values()),
                "metric": index.metric,
                "vectorType": "dense",
            }
        )

    # --- namespaces -------------------------------------------------------------------------

    def _namespaces(self, index: Index, request: Request, parts: list[str], body: Any) -> Reply:
        if not parts and request.method == "POST":
            if not isinstance(body, dict) or not isinstance(body.get("name"), str):
                raise bad("a namespace has a name")
            name = _space({"namespace": body["name"]})
            if name in index.namespaces:
                raise RefusalError(409, "Namespace already exists")
            self._state.commit(index, name, [])
            return Reply(_shown(name, index.namespaces[name]))
        if not parts:
            after = _opened(request.query.get("paginationToken", [None])[0])
            limit = int(request.query.get("limit", [str(_MOST_LISTED)])[0])
            names = [name for name in sorted(index.namespaces) if name > after]
            answer: dict[str, Any] = {
                "namespaces": [_shown(name, index.namespaces[name]) for name in names[:limit]],
                "total_count": len(index.namespaces),
            }
            if len(names) > limit:
                answer["pagination"] = {"next": _sealed(names[limit - 1])}
            return Reply(answer)
        if parts[0] not in index.namespaces:
            raise RefusalError(404, "Namespace not found")
        if request.method == "DELETE":
            self._state.drop(index, parts[0])
            return Reply({})
        return Reply(_shown(parts[0], index.namespaces[parts[0]]))

    def _namespace(self, index: Index, name: str) -> Namespace:
        """To read from; one that is not there is empty."""
        return index.namespaces.get(name) or Namespace()


def _shown(name: str, space: Namespace) -> dict[str, Any]:
    return {"name": name, "record_count": str(len(space.visible)), "size_bytes": 0}


def _committed(body: dict[str, Any], lsn: int) -> Reply:
    return Reply(body, headers={"x-pinecone-lsn-committed": str(lsn)})


def _space(body: Mapping[str, Any]) -> str:
    name = body.get("namespace") or _DEFAULT
    if not isinstance(name, str) or not name.isascii() or len(name) > _MOST_NAMESPACE:
        raise bad(f"a namespace is at most {_MOST_NAMESPACE} ASCII characters")
    return name


def _record(given: Any, dimension: int) -> Record:
    if not isinstance(given, dict):
        raise bad("a vector is an object")
    (one,) = _ids([given.get("id")])
    values = _vector(given.get("values"), dimension, one)
    return Record(one, values, normalized(given.get("metadata") or {}, one))


def _vector(given: Any, dimension: int, of: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    try:
        values = np.array(given, np.float32)
    except (TypeError, ValueError):
        raise bad(f"the values of {of} are no numbers") from None
    if values.shape != (dimension,):
        size = values.size
        raise bad(f"Vector dimension {size} does not match the dimension of the index {dimension}")
    if not np.isfinite(values).all():
        raise bad(f"the values of {of} are not finite")
    if not values.any():
        raise bad("Dense vectors must contain at least one non-zero value")
    return values


def _ids(given: Any) -> list[str]:
    if not isinstance(given, list) or not given:
        raise bad("ids must be a list that is not empty")
    if len(given) > _MOST_IDS:
        raise bad(f"at most {_MOST_IDS} ids can be given at once")
    for one in given:
        if not isinstance(one, str) or not one.isascii() or not 1 <= len(one) <= _MOST_ID:
            raise bad(f"Vector ID must be 1 to {_MOST_ID} ASCII characters")
        if "\0" in one:
            raise bad("Vector ID must not contain NUL")
    return given


def _sealed(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode()


def _opened(token: object) -> str:
    """The place behind which a page begins."""
    if token is None:
        return ""
    try:
        return base64.b64decode(str(token), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad("Invalid pagination token") from None
