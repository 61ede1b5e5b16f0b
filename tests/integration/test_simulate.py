"""`bridgehead simulate`: topologies from files, events, the report. Nothing but the program is started."""
import json

from peers.bridgehead import executable


def simulate(box, *words, code=0):
    done = box.run(executable(), "simulate", *map(str, words), check=False)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout.decode() if code == 0 else done.stderr.decode()


def report(box, *words):
    return json.loads(simulate(box, "-o", "json", *words))


def group(name, *connectors, organization="acme"):
    """A configuration; connectors: (group, cost)."""
    links = [{"name": f"to-{to}", "type": "routing_group", "to_group": to, "cost": cost, "smart_hosts": ["192.0.2.1"]}
             for to, cost in connectors]
    return json.dumps({"organization": organization, "routing_group": {"name": name}, "connectors": links})


def write(box, name, text):
    path = box.path(name)
    path.write_text(text)
    return path


def test_configurations(box):
    """Each group in a file of its own, or several in one: the same organization, the same run."""
    texts = [group("a", ("b", 1), ("c", 2)), group("b", ("a", 1)), group("c", ("a", 2), ("nowhere", 3))]
    apart = [write(box, f"{n}.yaml", text) for n, text in enumerate(texts)]
    joined = write(box, "all.yaml", "# a plan\n---\n" + "\n---\n".join(texts) + "\n")
    first, second = report(box, *apart), report(box, joined)
    assert first == second and len(first) == 10
    assert {row["link"] for row in first} == {"a - b", "a - c"}
    assert all(row["converged_ms"] is not None and row["bytes"] > 0 for row in first)
    done = box.run(executable(), "simulate", str(joined), check=True)
    assert done.stderr.decode() == "note: group c: connector to-nowhere leads to group nowhere, whose configuration is not here\n"


def test_bad_configurations(box):
    """The file, the line, and what to do."""
    bad = write(box, "bad.yaml", f"{group('a')}\n---\n\n{group('b', ('a', 101))}\n")
    said = simulate(box, bad, code=3)
    assert f"{bad} (what begins in line 3):2: connectors[0].cost: '101' is out of range" in said, said
    twice = write(box, "twice.yaml", f"{group('a')}\n---\n{group('a')}\n")
    assert "two configurations are of group a" in simulate(box, twice, code=3)
    assert "of organization 'acme', group b of 'other'" in simulate(
        box, write(box, "other.yaml", f"{group('a')}\n---\n{group('b', organization='other')}\n"), code=3)
    assert "--shape makes a topology" in simulate(box, twice, "--shape", "ring", code=2)
    assert "No such file" in simulate(box, box.path("missing"), code=1)
