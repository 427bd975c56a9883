-- wrk -s post.lua URL -- REQUEST_FILE [check]
--
-- Sends the request of the file, each time with other contents: its placeholders, all as wide as
-- what replaces them so that the length in the head stays true, are filled in from a counter.
-- At the end one line of JSON, which bench/load.py reads, says what became of it.
-- With `check` every status is counted; that costs wrk some µs per answer, so a measurement goes
-- without it, and relies on wrk's own count of those above 399.

local SERIES = 4096 -- far more than there are clients: what is under way at a time differs

local threads = {}
local count = 0
local started_s = os.time()

local function milliseconds()
  -- A protobuf varint of six bytes; each series has its next sample a step later than its last.
  local left = started_s * 1000 + math.floor(count / SERIES)
  local bytes = {}
  for place = 1, 6 do
    bytes[place] = string.char(left % 128 + (place < 6 and 128 or 0))
    left = math.floor(left / 128)
  end
  return table.concat(bytes)
end

local fill = {
  ["<<NUMBER>>"] = function() return string.format("%010d", count) end,
  ["<<SERIES>>"] = function() return string.format("%010d", count % SERIES) end,
  ["<<NANOSECONDS_19>>_"] = function() return started_s .. string.format("%09d", count) end,
  ["<<MS>>"] = milliseconds,
}

local parts = {} -- text, placeholder, text, …

local function split(text)
  local from = 1
  for start, name, stop in text:gmatch("()(<<[A-Z_0-9]+>>_?)()") do
    parts[#parts + 1] = text:sub(from, start - 1)
    parts[#parts + 1] = assert(fill[name], name)
    from = stop
  end
  parts[#parts + 1] = text:sub(from)
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  split(file:read("*a"))
  file:close()
  statuses, refusal = "", ""
  if args[2] == "check" then
    local seen = {}
    function response(status, _, body)
      seen[status] = (seen[status] or 0) + 1
      local said = {}
      for code, times in pairs(seen) do
        said[#said + 1] = string.format('"%d":%d', code, times)
      end
      statuses = table.concat(said, ",")
      if status > 299 then refusal = body end
    end
  end
end

function request()
  count = count + 1
  local filled = {}
  for place, part in ipairs(parts) do
    filled[place] = type(part) == "string" and part or part()
  end
  return table.concat(filled)
end

local function quoted(text)
  return '"' .. text:sub(1, 500):gsub('[%c"\\\128-\255]', function(char)
    return string.format("\\u%04x", char:byte())
  end) .. '"'
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'LOAD {"answers":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"above_399":%d,"broken":%d,'
      .. '"late":%d,"statuses":{%s},"refusal":%s}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    threads[1]:get("statuses"), quoted(threads[1]:get("refusal"))
  ))
end
