"""`bridgehead simulate`: topologies from files, events, the report. Nothing but the program is started."""
import json

from peers.bridgehead import executable
from peers.process import ROOT
from peers.topology import Topology


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


def test_published_topology(box):
    """GraphML: groups are the labels, and every link fails and heals at the cost that stands there."""
    rows = report(box, ROOT / "tests" / "topologies" / "cost266.graphml", "--events", 200)
    network = Topology(ROOT / "tests" / "topologies" / "cost266.graphml")
    links = {frozenset(row["link"].split(" - ")) for row in rows}
    assert len(links) > 35 and links <= set(network.links)
    assert all(row["converged_ms"] <= 20 * network.diameter() for row in rows), "as long as the longest way takes"


def test_bad_topology(box):
    """What is wrong with a file, and in which line."""
    plain = "<graphml><graph><node id='a'/><node id='b'/>\n<edge source='a' target='c'/></graph></graphml>"
    path = write(box, "bad.graphml", plain)
    assert f"{path}: line 2: an edge names node 'c', which is not there" in simulate(box, path, code=3)
    assert "simulate it alone" in simulate(box, path, path, code=2)
    empty = write(box, "empty.yaml", "# nothing\n")
    assert "no group" in simulate(box, empty, code=3)
    star = "".join(f"<node id='n{n}'/>" for n in range(1026)) + "".join(f"<edge source='n0' target='n{n}'/>" for n in range(1, 1026))
    hub = write(box, "hub.graphml", f"<graphml><graph>{star}</graph></graphml>")
    assert "group n0 has 1025 neighbours; a router takes at most 1024" in simulate(box, hub, code=3)
    assert "group g00000 has 1999 neighbours" in simulate(box, "--shape", "hub", "--groups", 2000, code=3)
