"""`python -m memplane_gateway.cli` is `memplane`."""

from memplane_gateway.cli import main

main()
