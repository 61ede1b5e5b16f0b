#!/usr/bin/env python3
"""What macros cannot refuse (see common/banned.h): calls that belong in one place, and words that tell where the
author sat."""
import re

from lint import PRODUCT, code, files, tell, text

CLOCK, RANDOM = "the clock is an argument (common/clock.h)", "random numbers come from struct rng (common/rng.h)"
# call: (why not, {file pattern where it is right})
BANNED = {
    r"(?:time|clock_gettime|gettimeofday|clock)": (CLOCK, r"common/clock\.c"),
    r"(?:sleep|usleep|nanosleep)": ("wait for an event, not for time", r"cli/"),
    r"(?:rand|random|drand48|rand_r|random_r)": (RANDOM, None),
    r"getrandom|getentropy": (RANDOM, r"common/rng\.c"),
    r"(?:system|popen|wordexp)": ("no shell", None),
    r"(?:exit|_exit|abort|_Exit|quick_exit)": ("below main() errors are returned (broken invariants may abort)", r"cli/|common/io/(conn_io|loop)\.c"),
    r"(?:gethostbyname|getaddrinfo|getnameinfo)": ("blocks; common/io/dns.h", r"queue/redis_resolve\.c"),
    r"(?:gets|scanf|sscanf|fscanf)": ("parse with common/span.h", None),
    r"(?:strtol|strtoul|strtoll|strtoull|strtod)": ("numbers are parsed in common/span.c", r"common/span\.c"),
    r"(?:alloca)": ("unbounded", None),
    r"(?:signal|setjmp|longjmp)": ("common/io/daemon.h handles signals", r"common/io/daemon\.c"),
    r"(?:printf|puts|putchar)": ("only commands print; daemons log", r"cli/"),
    r"(?:setenv|putenv|unsetenv)": ("the environment is read, not written", None),
    r"(?:getenv|secure_getenv)": ("settings come from common/config", r"common/config/|cli/|common/io/notify\.c"),
}
# Put together so that this file does not find itself.
WORDS = re.compile("|".join([r"/wo" r"rk/", r"/tmp/w" r"t\b", r"/ro" r"ot/", r"\bFIX" r"ME\b", r"\bX" r"XX\b"]))


def calls(path):
    source = code(path)
    for pattern, (why, allowed) in BANNED.items():
        if allowed and re.match(allowed, str(path)):
            continue
        # Not a member, not part of a longer name, not a declaration like `int exit(...)` or a field name.
        for found in re.finditer(rf"(?<![\w.>])({pattern})\s*\(", source):
            before = source[:found.start()].rstrip()
            if re.search(r"(?:\b(?:int|void|char|long|size_t|bool|ms_t)\s*\**|->)$", before):
                continue
            number = source.count("\n", 0, found.start()) + 1
            yield f"{path}:{number}: {found.group(1)}(): {why}"


def main():
    problems = [line for path in files(".c", ".h", below=PRODUCT)
                if str(path) != "common/banned.h" for line in calls(path)]
    for path in files(".c", ".h", ".py", ".sh", ".md", ".txt", ".lua", ".yaml", ".json", ".cmake", ""):
        for number, line in enumerate(text(path).splitlines(), 1):
            found = WORDS.search(line)
            if found:
                problems.append(f"{path}:{number}: '{found.group()}' has no place in the tree")
    tell(problems)


main()
