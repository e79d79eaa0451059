"""What stands between the middle and every store, one file a layer.

The order, outermost first, is the list in `make_layers`:

1. observe: outermost, so that it sees what the caller of the store sees.
2. check: before anything that costs, since what a store cannot do needs no time or retry.
3. ambiguity: around retry, so that only what retry gives up on is called ambiguous.
4. retry: outside timeout, so that each attempt is timed by itself; all end at the deadline.
5. timeout: innermost, so that it bounds each single call to the vendor.

(Coalescing and a breaker come between check and retry.) A batch above the limits of its store is
split before the layers (`batches`), so that they see the calls that the store gets.
"""

from memplane_gateway.layers.ambiguity import Ambiguity
from memplane_gateway.layers.check import Check
from memplane_gateway.layers.observe import Observe
from memplane_gateway.layers.retry import Retry
from memplane_gateway.layers.stacked import (
    Layer,
    StackedKeyValueStore,
    StackedVectorStore,
    StoreCall,
)
from memplane_gateway.layers.timeout import Timeout

__all__ = ["Layer", "StackedKeyValueStore", "StackedVectorStore", "StoreCall", "make_layers"]


def make_layers() -> tuple[Layer, ...]:
    """The layers of one store, which they remember: made once for each."""
    return (Observe(), Check(), Ambiguity(), Retry(), Timeout())
