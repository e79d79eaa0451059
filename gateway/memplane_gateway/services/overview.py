"""MemoryService: what there is, without the memories themselves."""

from __future__ import annotations

import asyncio

from memplane.v1 import namespace_pb2, statistics_pb2
from memplane_gateway.memory.model import Caller
from memplane_gateway.memory.questions import Selection, Statistics
from memplane_gateway.routes import Router
from memplane_gateway.services.calls import Translated
from memplane_gateway.services.consistency import Consistency
from memplane_gateway.wire.namespaces import read_namespaces, write_namespaces
from memplane_gateway.wire.statistics import read_statistics, write_statistics
from memplane_gateway.wire.violations import Violations


class Overview:
    """The rpcs ListNamespaces and GetStatistics."""

    def __init__(self, router: Router, consistency: Consistency) -> None:
        self._router = router
        self._consistency = consistency

    async def list_namespaces(
        self, request: namespace_pb2.ListNamespacesRequest, caller: Caller
    ) -> namespace_pb2.ListNamespacesResponse:
        """A page of the namespaces that hold memories."""
        violations = Violations()
        query = read_namespaces(request, violations)
        self._consistency.heed(request.consistency_token, caller, violations)
        violations.raise_if_any()
        route = self._router[query.kind]
        with Translated(route):
            page = await route.memories.namespaces(caller, query)
        response = namespace_pb2.ListNamespacesResponse()
        write_namespaces(page, response)
        return response

    async def get_statistics(
        self, request: statistics_pb2.GetStatisticsRequest, caller: Caller
    ) -> statistics_pb2.GetStatisticsResponse:
        """Figures by kind."""
        violations = Violations()
        selections = read_statistics(request, violations)
        self._consistency.heed(request.consistency_token, caller, violations)
        violations.raise_if_any()

        async def ask(selection: Selection) -> Statistics:
            route = self._router[selection.kind]
            with Translated(route):
                return await route.memories.statistics(caller, selection)

        figures = await asyncio.gather(*map(ask, selections))
        response = statistics_pb2.GetStatisticsResponse()
        for selection, each in zip(selections, figures, strict=True):
            write_statistics(selection.kind, each, response.kinds.add())
        return response
