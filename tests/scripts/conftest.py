"""Makes `scripts` importable, as import-linter does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
