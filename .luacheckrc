-- Redis runs Lua 5.1 with these globals. lib/*.lua is pasted into the scripts that include it, so the
-- sources are checked for what they leave unused, and the expanded scripts in the build tree for what
-- they leave undefined.
std = "lua51"
max_line_length = 140
read_globals = {"redis", "KEYS", "ARGV"}
files["queue/lua/*.lua"] = {ignore = {"113"}}
files["queue/lua/lib/*.lua"] = {ignore = {"113", "211"}}
files["**/build/*/queue/lua/*.lua"] = {ignore = {"211"}}
