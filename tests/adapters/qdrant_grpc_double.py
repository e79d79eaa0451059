"""The gRPC port of the double: the vendor's own service, carried out as over REST."""
# ruff: noqa: N802 (the names are the vendor's)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NoReturn

import grpc
from pydantic import TypeAdapter
from qdrant_client import grpc as wire
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import (
    collections_service_pb2_grpc,
    points_service_pb2_grpc,
    qdrant_pb2_grpc,
)
from tests.adapters.qdrant_double import Double, Fault, RefusedError

_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ALREADY_EXISTS,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
}
_PATIENCE: Final = 30.0


class GrpcDouble:
    """A second door to a double."""

    def __init__(self, double: Double) -> None:
        self.double = double
        # As much as a real server takes by itself.
        room = [("grpc.max_receive_message_length", 32 * 2**20)]
        self._server = grpc.server(ThreadPoolExecutor(16), options=room)
        points_service_pb2_grpc.add_PointsServicer_to_server(  # type: ignore[no-untyped-call]
            _Points(double), self._server
        )
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(  # type: ignore[no-untyped-call]
            _Collections(double), self._server
        )
        qdrant_pb2_grpc.add_QdrantServicer_to_server(  # type: ignore[no-untyped-call]
            _Root(double), self._server
        )
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(grace=None).wait()


class _Front:
    def __init__(self, double: Double) -> None:
        self.double = double

    def carry_out(self, context: Any, method: str, path: str, body: Any) -> Any:
        """Carry out a request of REST; its `result`."""
        fault = self.double.fault_for(f"RPC {method} {path}") or Fault("")
        if fault.frozen is not None:
            fault.frozen.wait(_PATIENCE)
        if fault.status:
            metadata = [(name.lower(), value) for name, value in fault.headers.items()]
            context.set_trailing_metadata(metadata)
            _abort(context, fault.status, fault.body.decode())
        key = dict(context.invocation_metadata()).get("api-key", "")
        if self.double.api_key not in ("", key):
            _abort(context, 401, "Must provide an API key")
        try:
            result = self.double.answer(method, path, body)
        except RefusedError as error:
            _abort(context, error.status, str(error))
        if fault.update_status:
            result["status"] = fault.update_status
        return result

    def update(self, context: Any, method: str, path: str, body: Any) -> Any:
        result = models.UpdateResult(**self.carry_out(context, method, path, body))
        return wire.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))


def _abort(context: Any, status: int, message: str) -> NoReturn:
    context.abort(_CODES[status], message)
    raise AssertionError("abort raises")


class _Points(_Front, points_service_pb2_grpc.PointsServicer):
    def Upsert(self, request: Any, context: Any) -> Any:
        body: dict[str, Any] = {"points": [_dump(GrpcToRest.convert_point_struct(p)) for p in request.points]}  # fmt: skip
        if request.HasField("update_filter"):
            body["update_filter"] = _dump(GrpcToRest.convert_filter(request.update_filter))
        if request.HasField("update_mode"):
            body["update_mode"] = GrpcToRest.convert_update_mode(request.update_mode).value
        return self.update(context, "PUT", _path(request, "/points"), body)

    def Delete(self, request: Any, context: Any) -> Any:
        body = _dump(GrpcToRest.convert_points_selector(request.points))
        return self.update(context, "POST", _path(request, "/points/delete"), body)

    def CreateFieldIndex(self, request: Any, context: Any) -> Any:
        kind = wire.FieldType.Name(request.field_type).removeprefix("FieldType").lower()
        body = {"field_name": request.field_name, "field_schema": {"type": kind}}
        return self.update(context, "PUT", _path(request, "/index"), body)

    def Get(self, request: Any, context: Any) -> Any:
        ids = [GrpcToRest.convert_point_id(one) for one in request.ids]
        body = {"ids": ids, **_wanted(request)}
        found = self.carry_out(context, "POST", _path(request, "/points"), body)
        return wire.GetResponse(result=[_retrieved(point) for point in found])

    def Scroll(self, request: Any, context: Any) -> Any:
        body = {"filter": _filter(request), "limit": request.limit, **_wanted(request)}
        if request.HasField("offset"):
            body["offset"] = GrpcToRest.convert_point_id(request.offset)
        if request.HasField("order_by"):
            body["order_by"] = _dump(GrpcToRest.convert_order_by(request.order_by))
        found = self.carry_out(context, "POST", _path(request, "/points/scroll"), body)
        offset = found["next_page_offset"]
        return wire.ScrollResponse(
            result=[_retrieved(point) for point in found["points"]],
            next_page_offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
        )  # fmt: skip

    def Count(self, request: Any, context: Any) -> Any:
        body = {"filter": _filter(request), "exact": request.exact}
        found = self.carry_out(context, "POST", _path(request, "/points/count"), body)
        return wire.CountResponse(result=wire.CountResult(count=found["count"]))

    def Query(self, request: Any, context: Any) -> Any:
        body = {
            "query": _dump(GrpcToRest.convert_query(request.query)),
            "using": request.using,
            "filter": _filter(request),
            "limit": request.limit,
            **_wanted(request),
        }
        if request.HasField("params"):
            body["params"] = _dump(GrpcToRest.convert_search_params(request.params))
        found = self.carry_out(context, "POST", _path(request, "/points/query"), body)
        scored = [models.ScoredPoint(**point) for point in found["points"]]
        return wire.QueryResponse(result=[RestToGrpc.convert_scored_point(one) for one in scored])


class _Collections(_Front, collections_service_pb2_grpc.CollectionsServicer):
    def List(self, request: Any, context: Any) -> Any:
        found = self.carry_out(context, "GET", "/collections", None)
        return wire.ListCollectionsResponse(
            collections=[wire.CollectionDescription(name=one["name"]) for one in found["collections"]]
        )  # fmt: skip

    def Get(self, request: Any, context: Any) -> Any:
        path = _path(request, "")
        info = self.carry_out(context, "GET", path, None)
        info["payload_schema"], indexed = {}, info["payload_schema"]
        answer = RestToGrpc.convert_collection_info(models.CollectionInfo(**info))
        for field, one in indexed.items():
            kind = wire.PayloadSchemaType.Value(one["data_type"].capitalize())
            answer.payload_schema[field].data_type = kind
        return wire.GetCollectionInfoResponse(result=answer)

    def Create(self, request: Any, context: Any) -> Any:
        body = {
            "vectors": _dump(GrpcToRest.convert_vectors_config(request.vectors_config)),
            "sparse_vectors": _dump(
                GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config)
            ),
            "metadata": GrpcToRest.convert_payload(request.metadata),
        }
        done = self.carry_out(context, "PUT", _path(request, ""), body)
        return wire.CollectionOperationResponse(result=done)


class _Root(_Front, qdrant_pb2_grpc.QdrantServicer):
    def HealthCheck(self, request: Any, context: Any) -> Any:
        return wire.HealthCheckReply(title="qdrant", version=self.double.version)


def _path(request: Any, rest: str) -> str:
    return f"/collections/{request.collection_name}{rest}"


def _filter(request: Any) -> Any:
    return _dump(GrpcToRest.convert_filter(request.filter))


def _wanted(request: Any) -> dict[str, Any]:
    vectors = _dump(GrpcToRest.convert_with_vectors_selector(request.with_vectors))
    return {
        "with_payload": _dump(GrpcToRest.convert_with_payload_selector(request.with_payload)),
        "with_vector": vectors,
    }


def _retrieved(point: Any) -> Any:
    return RestToGrpc.convert_retrieved_point(
        models.Record(**{**point, "payload": point.get("payload") or {}})
    )


def _dump(model: Any) -> Any:
    return TypeAdapter(type(model)).dump_python(model, mode="json", exclude_none=True)
