#!/usr/bin/env python3
"""Every header compiles alone: it includes what it uses. check_headers.py COMPILER"""
import concurrent.futures
import os
import subprocess
import sys

from lint import PRODUCT, ROOT, files, tell


def compile_alone(compiler, path):
    command = [compiler, "-std=c17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I.",
               "-DBRIDGEHEAD_VERSION=\"0\"", "-DTESTS_DIR=\"tests\"", "-include", "common/banned.h", "-include", str(path), "-x", "c", "/dev/null"]
    done = subprocess.run(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    return "" if done.returncode == 0 else f"{path} does not compile alone:\n{done.stderr[:1500]}"


def main(compiler):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = [p for p in files(".h", below=PRODUCT + ("tests",)) if not p.name.endswith(".def.h")]
        results = list(pool.map(lambda path: compile_alone(compiler, path), headers))
    print(f"{len(headers)} headers")
    tell([result for result in results if result])


main(sys.argv[1] if len(sys.argv) > 1 else "cc")
