-- Lists in which each array is one row, however many of its elements or ranges stand there. The loader puts it in front of the scripts
-- that use it.
--
-- Whatever belongs to an array that has its row is passed over.

local MOST_PASSED_OVER = 50000 -- ranges in a call, where a job counts for four: 20 ms or so
local LARGEST_READ = 200 -- entries that are read at once

local met, passed_over = {}, 0 -- arrays that have their row

-- The array of an entry of a queue or index, nothing for a job that is none of its elements.
local function family_of(name)
  if is_range(name) then
    return string.match(name, '^%+(.*)/')
  end
  local array = find_element(name)
  return array and array.id
end

-- Whether it is a row: a job by itself, or the first that is met of an array, which has its row from now on.
local function is_row(name)
  local family = family_of(name)
  if family and met[family] then
    passed_over = passed_over + (is_range(name) and 1 or 4)
    return false
  elseif family then
    met[family] = true
  end
  return true
end

-- How names of ranges of the same array begin, nothing for a job.
local function beginning_of(name)
  return string.match(name, '^%+.*/')
end

-- Entries with their scores, in one list, that are the rows of an index, `count` at most, from an entry on, or to its begin if `newest_first`;
-- `begun` is a range with its score that stands before it. Then how many entries were gone through, and the last of them with its
-- score; nothing if none stands behind.
local function rows_of(index, newest_first, from, begun, count)
  local read, found, number = math.min(count + 1, LARGEST_READ), {}, 0
  local entries, last, last_score, run = begun or {}, nil, nil, nil
  local function read_from(first, many)
    return redis.call(newest_first and 'ZREVRANGE' or 'ZRANGE', index, first, first + many - 1, 'WITHSCORES')
  end
  repeat
    for i = 1, #entries, 2 do
      local name = entries[i]
      if run and string.find(name, run, 1, true) == 1 then
        passed_over = passed_over + 1
      elseif is_row(name) then
        if #found == 2 * count then
          return found, number, last, last_score
        end
        found[#found + 1] = name
        found[#found + 1] = entries[i + 1]
        run = beginning_of(name)
      end
      number, last, last_score = number + 1, name, entries[i + 1]
    end
    if passed_over > MOST_PASSED_OVER then
      return found, number, last, last_score
    end
    -- What is of one array and of one time stands together.
    local ahead = run and last and string.find(last, run, 1, true) == 1 and read_from(from + LARGEST_READ - 1, 1)
    while ahead and ahead[2] == last_score and string.find(ahead[1], run, 1, true) == 1 do
      from, number, last = from + LARGEST_READ, number + LARGEST_READ, ahead[1]
      ahead = read_from(from + LARGEST_READ - 1, 1)
    end
    entries = read_from(from, read)
    from, read = from + read, math.min(2 * read, LARGEST_READ)
  until #entries == 0
  return found, number
end
