"""Adds up the JUnit files that ctest wrote into a directory and prints the closing line of a test run.

    tally.py DIRECTORY

Every skipped test is listed with its reason (the last line it printed), every failed one by name. A line
in DIRECTORY/broken is something that could not even start, and counts as one failure. Exit code: 0 when
nothing failed and something passed.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def reason(case):
    """What a skipped test printed last."""
    lines = [line for line in (case.findtext("system-out") or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def outcome(case):
    """passed, failed or skipped; a test that could not be run (its program is missing) has failed."""
    status = case.get("status")
    if status == "run":
        return "passed"
    skipped = case.find("skipped")
    if status == "disabled" or (skipped is not None and "SKIP_" in (skipped.get("message") or "")):
        return "skipped"
    return "failed"


def cases(path):
    """The test cases of a JUnit file; output with bytes that XML cannot hold must not hide them."""
    text = path.read_bytes().decode("utf-8", "replace")
    return list(ElementTree.fromstring(NOT_XML.sub("?", text)).iter("testcase"))


def main(directory):
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for path in sorted(pathlib.Path(directory).glob("*.xml")):
        for case in cases(path):
            verdict = outcome(case)
            count[verdict] += 1
            if verdict == "failed":
                print(f"failed: {path.stem}: {case.get('name')}")
            if verdict == "skipped":
                print(f"skipped: {path.stem}: {case.get('name')}: {reason(case)}")
    broken = pathlib.Path(directory, "broken")
    for line in broken.read_text().splitlines() if broken.exists() else []:
        count["failed"] += 1
        print(f"failed: {line}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
