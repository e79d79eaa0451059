"""What must happen at once in one namespace, as Lua that Redis runs.

KEYS of each: mark, keys, updated, times, expiring, heads, then the rows. Heads and numbers are bytes
as `rows` and `layout` write them; nothing is compared as a Lua number, which has 53 bits.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

APPLIED: Final = 0
CONFLICT: Final = 1
MISSING: Final = 2
UNDONE: Final = 3
"""It would have been applied, had the others of its atomic batch."""

LIVE: Final = b"+"
"""What the mark of a registered namespace begins with."""
RETIRED: Final = b"-"
"""What the mark of one begins with that was taken out of the registry."""


class Script(NamedTuple):
    """A script by its text and the name that Redis gives it."""

    text: bytes
    sha: bytes


def _script(*parts: str) -> Script:
    text = "\n".join(part.strip() for part in parts).encode()
    return Script(text, hashlib.sha1(text, usedforsecurity=False).hexdigest().encode())


_COMMON = r"""
local NEVER = string.rep('\255', 8)
local NONE = string.rep('\0', 8)

local function below(a, b)
  for i = 1, 8 do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end

-- The head of a row, also of one that Redis has dropped meanwhile, and whether the row is there.
local function look(row, key)
  local head = redis.call('GETRANGE', row, 0, 33)
  if head ~= '' then return head, true end
  return redis.call('HGET', KEYS[6], key), false
end

local function forget(head, key)
  redis.call('ZREM', KEYS[3], string.sub(head, 11, 18) .. key)
  redis.call('ZREM', KEYS[4], string.sub(head, 19, 26) .. key)
  local expiry = string.sub(head, 27, 34)
  if expiry ~= NEVER then
    redis.call('ZREM', KEYS[5], expiry .. key)
    redis.call('HDEL', KEYS[6], key)
  end
end

-- What is there and its revision, as the items of this batch before have left it.
local heads, there_is, revisions = {}, {}, {}

local function meet(row, key)
  if revisions[row] == nil then
    local head, alive = look(row, key)
    heads[row], there_is[row] = head, alive
    revisions[row] = alive and string.sub(head, 3, 10) or NONE
  end
  return revisions[row]
end

local function undo(statuses)
  for i, status in ipairs(statuses) do
    if status == 0 then statuses[i] = 3 end
  end
  return statuses
end
"""

PUT: Final = _script(
    _COMMON,
    r"""
-- ARGV: atomic or '', the mark that was seen, a token or '', then for each row
-- key, expected revision or '', when to drop it or '', value. Returns statuses, or the mark
-- where the namespace is not registered.
local mark = redis.call('GET', KEYS[1]) or ''
if string.sub(mark, 1, 1) ~= '+' then
  if ARGV[3] == '' or mark ~= ARGV[2] then return mark end
  redis.call('SET', KEYS[1], '+' .. ARGV[3])
end

local count, statuses, conflict = #KEYS - 6, {}, false
for i = 1, count do
  local row, key, expected = KEYS[6 + i], ARGV[4 * i], ARGV[4 * i + 1]
  local new = string.sub(ARGV[4 * i + 3], 3, 10)
  local there = meet(row, key)
  local fits
  if expected == '' then fits = not below(new, there) else fits = there == expected end
  if fits then
    statuses[i], revisions[row] = 0, new
  else
    statuses[i], conflict = 1, true
  end
end
if conflict and ARGV[1] ~= '' then return undo(statuses) end

for i = 1, count do
  if statuses[i] == 0 then
    local row, key, at, value = KEYS[6 + i], ARGV[4 * i], ARGV[4 * i + 2], ARGV[4 * i + 3]
    local head = string.sub(value, 1, 34)
    redis.call('SET', row, value)  -- first, since a server without room refuses only that
    if heads[row] then forget(heads[row], key) end
    if not there_is[row] then redis.call('ZADD', KEYS[2], 0, key) end
    redis.call('ZADD', KEYS[3], 0, string.sub(head, 11, 18) .. key)
    redis.call('ZADD', KEYS[4], 0, string.sub(head, 19, 26) .. key)
    if at ~= '' then
      redis.call('PEXPIREAT', row, at)
      redis.call('ZADD', KEYS[5], 0, string.sub(head, 27, 34) .. key)
      redis.call('HSET', KEYS[6], key, head)
    end
    heads[row], there_is[row] = head, true
  end
end
return statuses
""",
)

DELETE: Final = _script(
    _COMMON,
    r"""
-- ARGV: atomic or '', then for each row key, expected revision or ''. Returns statuses.
local count, statuses, conflict = #KEYS - 6, {}, false
for i = 1, count do
  local row, key, expected = KEYS[6 + i], ARGV[2 * i], ARGV[2 * i + 1]
  local there = meet(row, key)
  if expected ~= '' and there ~= expected then
    statuses[i], conflict = 1, true
  elseif there == NONE then
    statuses[i] = 2
  else
    statuses[i], revisions[row] = 0, NONE
  end
end
if conflict and ARGV[1] ~= '' then return undo(statuses) end

for i = 1, count do
  if statuses[i] ~= 1 then
    local row, key = KEYS[6 + i], ARGV[2 * i]
    redis.call('DEL', row)
    redis.call('ZREM', KEYS[2], key)
    if heads[row] then forget(heads[row], key) end
  end
end
return statuses
""",
)

SWEEP: Final = _script(
    _COMMON,
    r"""
-- Takes rows that are gone out of the indexes. ARGV: for each row key, update_time or '', time or ''
-- (as they stand in an index). Returns how many were gone.
local gone = 0
for i = 1, #KEYS - 6 do
  local row, key = KEYS[6 + i], ARGV[3 * i - 2]
  if redis.call('EXISTS', row) == 0 then
    local head = redis.call('HGET', KEYS[6], key)
    if head then forget(head, key) end
    redis.call('ZREM', KEYS[2], key)
    redis.call('ZREM', KEYS[3], ARGV[3 * i - 1] .. key)
    redis.call('ZREM', KEYS[4], ARGV[3 * i] .. key)
    gone = gone + 1
  end
end
return gone
""",
)

RETIRE: Final = _script(
    r"""
-- Marks a namespace without rows as not registered. ARGV: a token, and for how many milliseconds
-- writers are to see it. Returns 1, or 0 where there are rows.
if redis.call('ZCARD', KEYS[2]) > 0 then return 0 end
redis.call('SET', KEYS[1], '-' .. ARGV[1], 'PX', ARGV[2])
return 1
""",
)

ALL: Final = (PUT, DELETE, SWEEP, RETIRE)
