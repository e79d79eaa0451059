"""The sweeper: a task that deletes what has expired, and what retention policies do not keep.

- `run`: what a sweep deletes, and what became of it, as values.
- `turn`: of gateways that share a control store, one sweeps at a time; it remembers the last sweep, too.
- `sweeper`: slice after slice, in the background or when somebody asks for one.

What a slice does to a shelf is `memory.lifecycle.sweeping`.
"""
