-- lib/named.lua: the queue that a job itself names, where its message says it no more (queue/envelope.h, queue/tlv.h).

-- A number of at most 10 bytes, 7 bits in each, the least first; and where the next byte is. nil: there is none.
local function varint(s, at)
  local n, scale = 0, 1
  for i = at, math.min(at + 9, #s) do
    local byte = string.byte(s, i)
    n = n + byte % 128 * scale
    if byte < 128 then
      return n, i + 1
    end
    scale = scale * 128
  end
  return nil, at
end

-- Behind the recipients of a job: the first of its fields; nil: it is none.
local function behind_recipients(job)
  local n, at = varint(job, 2)
  if string.byte(job, 1) ~= 1 or not n or n > 100 then
    return nil
  end
  for _ = 1, n do
    local len, from = varint(job, at)
    if not len or from + len > #job + 1 then
      return nil
    end
    at = from + len
  end
  return at
end

-- "<domain>" or "<domain>!<class>", not looked at further; nil: the job is damaged, too.
local function named_by(job)
  local at, domain, class = behind_recipients(job), nil, 0
  while at and at <= #job do
    local type, len
    type, at = varint(job, at)
    len, at = varint(job, at)
    if not type or not len or at + len > #job + 1 then
      return nil
    elseif type == 1 then
      domain = string.sub(job, at, at + len - 1)
    elseif type == 2 then
      class = varint(job, at)
    else
      break
    end
    at = at + len
  end
  return domain and (class and class > 0 and domain .. string.format('!%x', class) or domain)
end
