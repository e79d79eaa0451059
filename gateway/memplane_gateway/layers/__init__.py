"""What stands between the middle and every store, one file a layer.

The order, outermost first, is this list:

1. observe: outermost, so that it sees what the caller of the store sees.
2. check: before anything that costs, since what a store cannot do needs no time or retry.
3. timeout: innermost, so that it bounds each single call to the vendor.

(Coalescing, a breaker and retries come between check and timeout.)
"""

from memplane_gateway.layers.check import Check
from memplane_gateway.layers.observe import Observe
from memplane_gateway.layers.stacked import (
    Layer,
    StackedKeyValueStore,
    StackedVectorStore,
    StoreCall,
)
from memplane_gateway.layers.timeout import Timeout

LAYERS: tuple[Layer, ...] = (Observe(), Check(), Timeout())

__all__ = ["LAYERS", "Layer", "StackedKeyValueStore", "StackedVectorStore", "StoreCall"]
