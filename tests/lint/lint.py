"""What the checks share: the tracked files, C without comments and strings, and how findings are told."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = ("common", "linkstate", "queue", "node", "router", "worker", "cli")


def files(*suffixes, below=None):
    """Tracked files with one of the suffixes, relative to the top; `below`: only in these directories."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        print("skipped: not a git checkout")
        sys.exit(77)
    for name in sorted(done.stdout.decode().split("\0")):
        path = pathlib.PurePosixPath(name)
        if name and path.suffix in suffixes and (below is None or path.parts[0] in below) and (ROOT / name).is_file():
            yield path


def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


BLANK = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code(path):
    """C source with comments and the insides of strings replaced by spaces; lines stay where they are."""
    return BLANK.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text(path))


def tell(problems):
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "clean")
    sys.exit(1 if problems else 0)
