#!/usr/bin/env python3
"""Who may include whom: the table "The tree" of docs/architecture.md, enforced."""
import re

from lint import PRODUCT, files, tell, text

# What the table calls them, and what their headers look like.
LIBRARIES = {
    "libyaml": r"yaml\.h", "expat": r"expat\.h", "libevent": r"event2/", "OpenSSL": r"openssl/", "libunbound": r"unbound(-event)?\.h",
    "libidn2": r"idn2\.h", "hiredis": r"hiredis/", "zstd": r"zstd(_errors)?\.h", "ZeroMQ": r"zmq(_utils)?\.h",
    "libsmartcols": r"libsmartcols/", "jansson": r"jansson\.h",
}
SHORT = {"io": "common/io", "config": "common/config", "config's structs": "common/config"}
# Narrower than the table: these headers only in files with these names.
ONLY_IN = {"hiredis": r"queue/redis_", "libidn2": r"common/idna\.c", "expat": r"linkstate/graphml\.c"}


def table():
    """{folder: what it may use}, longest folder first."""
    rules = {}
    for folder, use in re.findall(r"^\| `([a-z/]+)/` \|[^|]*\| ([^|]*) \|$", text("docs/architecture.md"), re.M):
        words = {word.strip() for word in use.split(",")}
        if "everything" in words:
            words |= set(PRODUCT) | set(LIBRARIES) | {"io", "config"}
        rules[folder] = {SHORT.get(word, word) for word in words} | {folder}
        if "common/io" in rules[folder]:
            rules[folder] |= {"common/config"}
    return dict(sorted(rules.items(), key=lambda item: -len(item[0])))


def folder_of(path, rules):
    return next((folder for folder in rules if str(path).startswith(folder + "/")), None)


def problem(path, name, system, rules):
    own = folder_of(path, rules)
    for library, pattern in LIBRARIES.items():
        if re.match(pattern, name):
            if library not in rules[own]:
                return f"{own}/ does not use {library}"
            if library in ONLY_IN and not re.match(ONLY_IN[library], str(path)):
                return f"{library} belongs in files named {ONLY_IN[library]}*"
    target = folder_of(name, rules)
    if target and target not in rules[own]:
        return f"{own}/ may not use {target}/"
    if not system and not target and "/" not in name:
        return "name headers from the top of the tree"
    return None


def main():
    rules, problems = table(), []
    assert len(rules) >= len(PRODUCT), "the table of docs/architecture.md was not understood"
    for path in files(".c", ".h", below=PRODUCT):
        for number, line in enumerate(text(path).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if found:
                why = problem(path, found.group(2), found.group(1) == "<", rules)
                if why:
                    problems.append(f"{path}:{number}: {found.group(2)}: {why}")
    tell(problems)


main()
