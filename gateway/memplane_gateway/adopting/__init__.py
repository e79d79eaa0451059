"""Adopting collections that others made: a mapping in YAML, and what it makes of their rows.

`read_adoption` reads the file, `opened` its collection, and `Reading` goes through that: `map_row`,
which is pure, makes memories, and `check` says what a gateway would refuse. Writing them is the
business of whoever drives all this, through a gateway.
"""

from memplane_adapters.contract import ForeignFacts
from memplane_gateway.adopting.adoption import Adoption, Source, read_adoption
from memplane_gateway.adopting.checking import check
from memplane_gateway.adopting.mapping import Mapping, Vectors
from memplane_gateway.adopting.opening import SourceError, opened
from memplane_gateway.adopting.reading import Reading
from memplane_gateway.adopting.rows import Mapped, RowProblem, map_row
from memplane_gateway.memory.model import ABSENT

__all__ = [
    "ABSENT",
    "Adoption",
    "ForeignFacts",
    "Mapped",
    "Mapping",
    "Reading",
    "RowProblem",
    "Source",
    "SourceError",
    "Vectors",
    "check",
    "map_row",
    "opened",
    "read_adoption",
]
