#!/usr/bin/env python3
"""Functions of at most 80 lines, files of at most 600 (tests: 900, for their tables): what is longer holds more than one idea."""
import re

from lint import PRODUCT, files, tell, text

FUNCTION, FILE, TEST_FILE = 80, 600, 900
# file or file:function -> why it may be longer. An entry that is not needed any more is an error.
ALLOWED = {}


def functions(lines):
    """(name, first line, length). The house style puts a body's braces in column 0."""
    start = name = None
    for number, line in enumerate(lines, 1):
        called = re.match(r"[A-Za-z_].*?\b(\w+)\(", line)
        if called and not line.startswith(("#", "struct", "enum", "union", "typedef")) or called and line.endswith(","):
            name = called.group(1)
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            yield name, start, number - start + 1
            start = None


def main():
    problems, used = [], set()

    def found(key, message):
        if key in ALLOWED:
            used.add(key)
        else:
            problems.append(message)

    for path in files(".c", ".h", below=PRODUCT + ("tests",)):
        lines = text(path).splitlines()
        limit = TEST_FILE if path.parts[0] == "tests" else FILE
        if len(lines) > limit:
            found(str(path), f"{path}: {len(lines)} lines (at most {limit}): split it by idea")
        for name, start, length in functions(lines):
            if length > FUNCTION:
                found(f"{path}:{name}", f"{path}:{start}: {name}() has {length} lines (at most {FUNCTION})")
    problems += [f"check_sizes.py: {key} needs no exception any more" for key in ALLOWED if key not in used]
    tell(problems)


main()
