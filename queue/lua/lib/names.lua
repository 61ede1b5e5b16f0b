-- lib/names.lua: checks of the names that go into keys and members.
local function id_of(s)
  if not s or #s ~= 16 or string.find(s, '[^0-9A-Z]') then
    fail('BADARG id')
  end
  return s
end

local function queue_of(s)
  return str(s, 1, 320, 'queue')
end

local function worker_of(s)
  if not s or #s < 1 or #s > 64 or string.find(s, '[^%w_-]') then
    fail('BADARG worker')
  end
  return s
end

local JOBS_MAX = 64000  -- of a message: RCPTMAX, each in a domain of its own

-- Number of a job as it is written in keys: no sign, no leading zero.
local function job_no(s)
  if not s or #s > 5 or not string.find(s, '^[1-9]%d*$') or tonumber(s) > JOBS_MAX then
    fail('BADARG job number')
  end
  return s
end

local function token_of(s)
  if not s or #s > 15 or not string.find(s, '^[1-9]%d*$') then
    fail('BADARG token')
  end
  return s
end

local function is_job(job)
  return string.find(job, '^[0-9A-Z]+%.[1-9]%d*$') == 1 and string.byte(job, 17) == 46 and #job <= 22
end

-- Splits the job name "<id>.<k>".
local function split_job(job)
  return string.sub(job, 1, 16), string.sub(job, 18)
end
