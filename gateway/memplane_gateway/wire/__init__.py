"""The only place where protobuf messages and domain values meet.

Reading a request also checks its shape: every broken rule is noted with the path of its field, so
that a caller hears of all at once.
"""
