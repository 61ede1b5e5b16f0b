#!/usr/bin/env python3
"""Runs one test function with a sandbox of its own: one.py FILE FUNCTION.

Exit code 0 passed, 1 failed, 77 skipped; the last line of a skipped one is the reason. On failure the ends of the
logs of everything that was started are printed."""
import importlib.util
import os
import pathlib
import random
import signal
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from peers.process import Sandbox, Skip


def known_defect(file, function):
    """The reason why a test cannot pass yet: a line "module/test: reason" of known_defects.txt beside it. Such a test is
    skipped, and says so; KNOWN_DEFECTS=run runs it all the same."""
    listing = pathlib.Path(file).parent / "known_defects.txt"
    if os.environ.get("KNOWN_DEFECTS") == "run" or not listing.exists():
        return None
    name = f"{pathlib.Path(file).stem.removeprefix('test_')}/{function.removeprefix('test_')}"
    for line in listing.read_text().splitlines():
        test, _, reason = line.partition(": ")
        if test == name:
            return reason
    return None


def print_logs(box):
    for path in sorted(box.dir.rglob("*.log")):
        text = path.read_bytes()[-3000:].decode("utf-8", "replace")
        if text.strip():
            print(f"---- {path.relative_to(box.dir)}\n{text}")


def end(number, frame):
    """SIGTERM ends a test as a failure does: with its servers stopped and its directory removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up is not to be cut short
    raise SystemExit("ended by SIGTERM")


def main(file, function):
    signal.signal(signal.SIGTERM, end)
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seed = int(os.environ.get("SEED", "1"))
    random.seed(f"{seed} {function}")
    test = getattr(module, function)
    print(f"{function}: {(test.__doc__ or '').strip().splitlines()[0] if test.__doc__ else ''} (seed {seed})")
    reason = known_defect(file, function)
    if reason:
        print(f"skipped: not yet: {reason}")
        return 77
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
