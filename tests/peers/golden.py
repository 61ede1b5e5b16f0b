"""The keys of what -o json prints, compared with tests/golden/cli_json.txt, a part of it by each test that runs commands."""
import os

from .process import ROOT

GOLDEN = ROOT / "tests" / "golden" / "cli_json.txt"


def keys_of(value, path):
    """The path of every key in a JSON document."""
    if isinstance(value, dict):
        return {found for key, inner in value.items() for found in {f"{path}.{key}"} | keys_of(inner, f"{path}.{key}")}
    return {found for inner in value for found in keys_of(inner, path + "[]")} if isinstance(value, list) else set()


def check_json_keys(documents):
    """`documents`: command -> what it printed. GOLDEN_UPDATE=1 accepts what comes and goes."""
    found = {line for command, document in documents.items() for line in keys_of(document, command)}
    mine = tuple(command + mark for command in documents for mark in (".", "["))
    lines = set(GOLDEN.read_text().splitlines())
    if os.environ.get("GOLDEN_UPDATE"):
        lines = {line for line in lines if not line.startswith(mine)} | found
        GOLDEN.write_text("".join(f"{line}\n" for line in sorted(lines)))
    expected = {line for line in lines if line.startswith(mine)}
    assert found == expected, f"new: {sorted(found - expected)}; gone: {sorted(expected - found)}"
