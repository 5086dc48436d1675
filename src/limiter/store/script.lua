-- One decision of one limiter about one key, by the arithmetic of src/limit/meter.rs.
-- KEYS[1]: the key. ARGV: algorithm, rate, per (us), burst, patience (us), cost, grain (us), now (us; -1: the store's clock).
-- Answer: what (0 pass, 1 delay, 2 deny), how long (us), remaining, reset (us).
-- Every number is a whole one below 2^53, which a double holds exactly.
local key, algorithm = KEYS[1], ARGV[1]
local rate, per, burst = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local patience, cost, grain = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local now = tonumber(ARGV[8])
if now < 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local function read()
  local text = redis.call('GET', key)
  if not text then return 0, 0, 0 end
  local a, b, c = string.match(text, '^(%d+) (%d+) (%d+)$')
  return tonumber(a) or 0, tonumber(b) or 0, tonumber(c) or 0
end

-- A state that is over counts for nothing, so it may stay a second longer: the clock that a decision was made by may be behind
-- the one that keys expire by.
local function write(a, b, c, lives)
  local text = string.format('%.0f %.0f %.0f', a, b, c)
  redis.call('SET', key, text, 'PX', string.format('%.0f', ceil(lives / 1000) + 1000))
end

local function judged(wait)
  if wait <= 0 then return 0, 0 end
  if wait <= patience then return 1, wait end
  return 2, wait
end

if algorithm == 'token_bucket' or algorithm == 'leaky_bucket' then
  -- A unit costs per/g, a microsecond pays back rate/g.
  local g, rest = rate, per
  while rest > 0 do g, rest = rest, g % rest end
  local unit, drain = per / g, rate / g
  local full = burst * unit
  local level, at, drained = read()
  if drained > 0 and drained ~= drain then level = ceil(level / drained * drain) end
  level = max(0, level - drain * (now - at))
  if level > 9007199254740992 then level = full end
  local after = level + cost * unit
  local what, wait
  if algorithm == 'leaky_bucket' then
    if after > full then what, wait = 2, ceil((after - full) / drain)
    elseif level == 0 then what, wait = 0, 0
    else what, wait = 1, ceil(level / drain) end
  else
    what, wait = judged(ceil(max(0, after - full) / drain))
  end
  if what < 2 then
    level = after
    write(level, now, drain, level / drain)
  end
  return {what, wait, min(burst, floor(max(0, full - level) / unit)), ceil(level / drain)}
end

if algorithm == 'fixed_window' then
  local start, count = read()
  local edge = now - now % per
  if edge > start then
    count = max(0, count - floor((edge - start) / per) * rate)
    start = edge
  end
  local left = rate - count % rate
  local begin = count
  if cost > left then begin = count + left end
  local what, wait = judged(begin < rate and 0 or start + floor(begin / rate) * per - now)
  if what < 2 then
    count = begin + cost
    write(start, count, 0, start + ceil(count / rate) * per - now)
  end
  return {what, wait, max(0, rate - count), max(0, start + per - now)}
end

if algorithm == 'sliding_window' then
  local start, held, before = read()
  local edge = now - now % per
  if edge > start then
    before = floor((edge - start) / per) == 1 and held or 0
    held, start = 0, edge
  end
  held, before = min(held, rate), min(before, rate)
  local period = floor(per / grain)
  local elapsed = min(period, floor(max(0, now - start) / grain))
  local used = before * (period - elapsed) + held * period
  local after, room = used + cost * period, rate * period
  local reset = max(0, start + per - now)
  if after <= room then
    write(start, held + cost, before, start + 2 * per - now)
    return {0, 0, floor((room - after) / period), reset}
  end
  local function turn(weighs, free)
    return period - min(period, floor(free * period / max(1, weighs)))
  end
  local at
  if held + cost <= rate then at = start + turn(before, rate - held - cost) * grain
  else at = start + per + turn(held, rate - cost) * grain end
  return {2, max(1, at - now), floor(max(0, room - used) / period), reset}
end

-- sliding_log: a list of the time of every unit.
local last = tonumber(redis.call('LINDEX', key, -1) or 0)
if patience == 0 then now = max(now, last) end
local first = redis.call('LINDEX', key, 0)
while first and first + per <= now do
  redis.call('LPOP', key)
  first = redis.call('LINDEX', key, 0)
end
local held = redis.call('LLEN', key)
local turn = now
if held + cost > rate then
  local leaves = redis.call('LINDEX', key, held + cost - rate - 1)
  if leaves then turn = leaves + per end
end
turn = max(turn, now)
if held > 0 then turn = max(turn, last) end
local what, wait = judged(turn - now)
if what < 2 then
  local text = string.format('%.0f', turn)
  for _ = 1, cost do redis.call('RPUSH', key, text) end
  redis.call('PEXPIRE', key, string.format('%.0f', ceil((turn + per - now) / 1000) + 1000))
  held = held + cost
  first = first or text
end
return {what, wait, max(0, rate - held), (first or now) + per - now}
