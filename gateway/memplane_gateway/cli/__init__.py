"""The command line: `memplane WORD`. One file a word; what is heavy is imported where it is needed."""

import os


def main() -> None:
    """Runs the command line; the entry point of `memplane`."""
    # What grpc's core would print stands beside our own sentence, and says less.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from memplane_gateway.cli.app import run

    run()
