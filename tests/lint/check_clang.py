"""Every C file is free of clang's warnings, too: check_clang.py BUILD_DIRECTORY

The presets but one build with the machine's own compiler; clang sees other mistakes and must be able to build all of it.
It only reads the sources here, with the flags of the build directory: nothing is compiled."""
import concurrent.futures
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

CLANG_ONLY = ["-fsyntax-only", "-Wno-unknown-warning-option"]


def arguments(command):
    """The preprocessor's and the warnings' part of a compiler's command line."""
    words = shlex.split(command)
    for at, word in enumerate(words):
        if word in ("-isystem", "-include"):
            yield from words[at:at + 2]
        elif word.startswith(("-D", "-I", "-W", "-std=")):
            yield word


def check(clang, entry):
    command = [clang, *arguments(entry["command"]), *CLANG_ONLY, entry["file"]]
    return subprocess.run(command, cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)


def main(build):
    clang = shutil.which("clang")
    if not clang:
        print("skipped: clang is not installed")
        return 77
    listing = json.loads(pathlib.Path(build, "compile_commands.json").read_text())
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        done = list(pool.map(lambda entry: check(clang, entry), listing))
    for one in done:
        sys.stdout.write(one.stdout.decode("utf-8", "replace"))
    print(f"{len(done)} files")
    return 1 if not done or any(one.returncode != 0 for one in done) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
