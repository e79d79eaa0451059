"""The rows of one table of points."""

from __future__ import annotations

import json
from typing import Final

from memplane_adapters.contract import Point
from memplane_adapters.kit import typed
from memplane_adapters.kit.collections import misfit
from memplane_adapters.postgres.packing import pack
from memplane_adapters.postgres.rows import Rows
from memplane_adapters.postgres.scans import Scans
from memplane_adapters.postgres.schema import Layout
from memplane_adapters.postgres.vectors import arrays, filters, tables, words
from memplane_adapters.postgres.vectors.collections import Place


class Points:
    """A table, and what is done with it."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self.place: Final = place
        self.layout: Final = layout
        self.table: Final = tables.points(place.name, place.extension, place.oid)
        self.rows: Final = Rows(layout, self.table, self._encode)
        self.scans: Final = Scans(layout, self.table, self.rows)

    def _encode(self, point: Point) -> tuple[object, ...]:
        refusal = misfit(point.vector, self.place.dimension)
        if refusal is not None:
            raise refusal
        safe = arrays.without_zero
        found, numbers, instants = typed.indexed(point.fields)
        tokens = arrays.texts(map(safe, found))
        ranges = json.dumps(
            {filters.NUMBER + safe(name): value for name, value in numbers.items()}
            | {filters.INSTANT + safe(name): value for name, value in instants.items()},
            ensure_ascii=False,
            allow_nan=False,
        )
        text = point.text.replace("\0", "")
        f"{tokens}{ranges}{text}".encode()
        return (
            None if point.vector is None else pack(point.vector),
            tokens,
            ranges,
            text,
            point.record,
            *words.of_row(point.address.tenant, point.terms),
        )
