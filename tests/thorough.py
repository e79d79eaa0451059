"""Whether this run leaves nothing out: `make test THOROUGH=1`."""

import os

THOROUGH = bool(os.environ.get("MEMPLANE_TEST_THOROUGH"))
