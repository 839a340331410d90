-- wrk's part of bench/serve.py: asks one question after the other, and compares each answer with its own.
-- A thread has one connection, so an answer is that of the question asked last. Arguments: the file of the questions
-- (path, body and first numbers of the answer, by tabs), and the milliseconds that a thread waits before it asks again.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  questions, wait = {}, tonumber(arguments[2])
  for line in io.lines(arguments[1]) do
    local path, body, numbers = line:match("^(.-)\t(.-)\t(.*)$")
    local expected = {}
    for each in numbers:gmatch("%S+") do table.insert(expected, tonumber(each)) end
    local made = wrk.format("POST", path, { ["Content-Type"] = "application/json" }, body)
    table.insert(questions, { request = made, expected = expected })
  end
  at = number * 7919 % #questions
  good, refused, wrong, other = 0, 0, 0, 0
end

function delay()
  return wait
end

function request()
  at = at % #questions + 1
  return questions[at].request
end

-- The numbers of a vector, or those of all labels, in the labels' order.
local function numbers_of(body)
  local vector, shares = body:match('"embeddings":%[%[(.-)%]'), body:match('"probabilities":{(.-)}')
  local numbers, labels = {}, {}
  if vector then
    for each in vector:gmatch("[^,]+") do table.insert(numbers, tonumber(each)) end
  elseif shares then
    local of = {}
    for label, each in shares:gmatch('"([^"]*)":([^,]+)') do
      of[label] = tonumber(each)
      table.insert(labels, label)
    end
    table.sort(labels)
    for _, label in ipairs(labels) do table.insert(numbers, of[label]) end
  end
  return numbers
end

local function is_own(body)
  local numbers, expected = numbers_of(body), questions[at].expected
  for index, each in ipairs(expected) do
    if not (numbers[index] and math.abs(numbers[index] - each) < 1e-3) then return false end
  end
  return true
end

function response(status, headers, body)
  if status == 503 then
    refused = refused + 1
  elseif status ~= 200 then
    other = other + 1
  elseif is_own(body) then
    good = good + 1
  else
    wrong = wrong + 1
  end
end

function done(summary, latency, requests)
  local sums = { good = 0, refused = 0, wrong = 0, other = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(sums) do sums[name] = sums[name] + thread:get(name) end
  end
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\n{"good": %d, "refused": %d, "wrong": %d, "other": %d, "lost": %d, "seconds": %f}\n',
    sums.good, sums.refused, sums.wrong, sums.other, lost, summary.duration / 1e6))
end
