"""Writes that wait for their store while it is down (`on_backend_down: spool`).

A write that finds its store down is kept in the control store, in order, and acknowledged as SPOOLED.
Reads by address see it from then on. When the store is back, the writes are carried out in their order;
one that the store then refuses is kept as a dead letter, for its operator to retry or to drop.

`entries` has the words, `index` what is known of a route's entries without reading them, `outbox` the
entries themselves, and `shelf` lets the writer of memories write to them as to any store. `spooling`
decides which write goes where, `attempt` keeps what becomes of one call's. `replay` carries out what
waits, and `restoring` knows what that does to what the store has by then.
"""
