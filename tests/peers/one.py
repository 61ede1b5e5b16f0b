#!/usr/bin/env python3
"""Runs one test function with a sandbox of its own: one.py FILE FUNCTION.

Exit code 0 passed, 1 failed, 77 skipped; the last line of a skipped one is the reason. On failure the ends of the
logs of everything that was started are printed."""
import importlib.util
import os
import pathlib
import random
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from peers.process import Sandbox, Skip


def print_logs(box):
    for path in sorted(box.dir.rglob("*.log")):
        text = path.read_bytes()[-3000:].decode("utf-8", "replace")
        if text.strip():
            print(f"---- {path.relative_to(box.dir)}\n{text}")


def main(file, function):
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seed = int(os.environ.get("SEED", "1"))
    random.seed(f"{seed} {function}")
    test = getattr(module, function)
    print(f"{function}: {(test.__doc__ or '').strip().splitlines()[0] if test.__doc__ else ''} (seed {seed})")
    with Sandbox("bh") as box:
        try:
            test(box)
            return 0
        except Skip as reason:
            print(f"skipped: {reason}")
            return 77
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            print_logs(box)
            return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
