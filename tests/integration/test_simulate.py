"""`bridgehead simulate`: topologies from files, events, the report. Nothing but the program is started."""
import json
import xml.etree.ElementTree as xml

from peers.bridgehead import executable
from peers.process import ROOT
from peers.topology import Topology

COST266 = ROOT / "tests" / "topologies" / "cost266.graphml"


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
    assert {row["what"] for row in first} == {"a - b", "a - c"}
    assert set(first[0]) == {"at_ms", "event", "what", "converged_ms", "messages", "bytes", "full_flood_bytes", "cut_off_groups", "most_crossings",
                             "keepalives", "keepalive_bytes", "lost"}, "what programs read"
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
    rows = report(box, COST266, "--events", 200)
    network = Topology(COST266)
    links = {frozenset(row["what"].split(" - ")) for row in rows}
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

def test_examples_of_the_documents(box):
    """The plan and the script of docs/planning.md do what stands there."""
    blocks = (ROOT / "docs" / "planning.md").read_text().split("```")
    plan = write(box, "plan.yaml", next(block.removeprefix("yaml\n") for block in blocks if block.startswith("yaml\n")))
    assert {row["what"] for row in report(box, plan)} == {"hq - berlin"}
    script = write(box, "plan.txt", next(block.lstrip("\n") for block in blocks if "at 10s cut" in block))
    rows = report(box, COST266, "--script", script)
    assert [(row["event"], row["what"], row["at_ms"]) for row in rows[:4]] == [
        ("cut", "frankfurt", 10000), ("down", "paris - london", 20000), ("cost", "berlin - prague 50", 30000), ("heal", "", 3600000)]
    assert [row["event"] for row in rows[4:]] == ["up", "crash", "restart"]
    assert [row["cut_off_groups"] for row in rows] == [1, 1, 1, 0, 0, 0, 0], "frankfurt, until its line heals"
    assert all(row["converged_ms"] is not None and row["bytes"] <= row["full_flood_bytes"] for row in rows)
    table = simulate(box, COST266, "--script", script)
    assert "28 groups, 41 links; longest convergence" in table and len(table.splitlines()) == 9
    assert [line.split()[0] for line in table.splitlines()[1:5]] == ["10.000s", "20.000s", "30.000s", "1h00m00.000s"], table
    close = simulate(box, COST266, "--script", write(box, "close.txt", "at 1500ms cut frankfurt\nat 1501ms heal\n"))
    assert [line.split()[0] for line in close.splitlines()[1:3]] == ["1.500s", "1.501s"], close


def test_bad_script(box):
    """The file and the line."""
    script = write(box, "plan.txt", "cut frankfurt\n\nat 5s down paris rome\n")
    said = simulate(box, COST266, "--script", script, code=3)
    assert f"{script}: line 3: no link and no connector of the first group leads to: 'rome'" in said, said
    assert "No such file" in simulate(box, COST266, "--script", box.path("missing"), code=1)


def test_drawings(box):
    """What is DOWN at the end is drawn as DOWN, who has stopped is drawn dashed, in both forms."""
    script = write(box, "plan.txt", "down paris london\ncrash rome\n")
    svg, dot = box.path("o.svg"), box.path("o.dot")
    simulate(box, COST266, "--script", script, "--svg", svg, "--dot", dot)
    root = xml.parse(svg).getroot()
    texts = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "17 DOWN" in texts and "simulation of cost266.graphml, after 2 events" in texts, texts
    assert "82 connectors between them, 2 of these DOWN" in " ".join(texts)
    lines = dot.read_text().splitlines()
    assert [line.split("[")[0].strip() for line in lines if "17 DOWN" in line] == ['"london" -> "paris"', '"paris" -> "london"']
    assert next(line for line in lines if line.startswith('  "rome" [')).count("dashed") == 1
    assert "use --dot" in simulate(box, "--groups", 1001, "--events", 0, "--svg", svg, code=1)
    assert "cannot write" in simulate(box, COST266, "--dot", box.path("no", "such").parent / "x" / "y", code=1)


def test_same_seed_same_bytes(box):
    """Report and drawings, whatever the addresses of memory, the processors and the directory are."""
    script = write(box, "plan.txt", "at 1s cut frankfurt\nat 2s crash rome\nat 60s heal\nat 61s restart rome\n")
    known = {}
    for number, prefix in enumerate(([], [], ["setarch", "-R"], ["taskset", "-c", "0"], ["env", "MALLOC_PERTURB_=173", "LC_ALL=C", "TZ=Asia/Tokyo"])):
        for words in ((COST266, "--script", script, "--events", 30, "--loss", 50),
                      ("--shape", "tree-of-rings", "--groups", 60, "--seed", 7, "-o", "json")):
            svg, dot = box.path(f"{number}.svg"), box.path(f"{number}.dot")
            done = box.run(*prefix, executable(), "simulate", *map(str, words), "--svg", svg, "--dot", dot)
            made = (done.stdout, svg.read_bytes(), dot.read_bytes())
            assert known.setdefault(words, made) == made, (prefix, words)
    assert report(box, COST266, "--seed", 1) != report(box, COST266, "--seed", 2)
