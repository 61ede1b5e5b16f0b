"""A published research network, a router process for every node: what they agree on is held against computations that
share no line with the program (tests/peers/topology.py)."""
import concurrent.futures
import os
import pathlib

from peers.network import Network
from peers.process import ROOT, Skip, wait_for
from peers.topology import Topology, distances, up_edges


def route_ask():
    path = pathlib.Path(os.environ.get("BRIDGEHEAD_BUILD", ROOT / "build" / "asan"), "tests", "integration", "route_ask")
    if not path.exists():
        raise Skip(f"{path} is not built (cmake --build --preset asan)")
    return path


def routes(network, name):
    """{group: what the nodes and workers of one group do with mail for it, by the table that they get}."""
    group, names = network.groups[name], network.topology.names
    table = group.box.path(name, "table")
    table.write_bytes(group.redis.bytes("hget", group.key_of("table"), "b"))
    done = group.box.run(route_ask(), network.masters[name].file, table, *(f"{other}.example" for other in names))
    return dict(zip(names, done.stdout.decode().splitlines(), strict=True))


def compare_routes(network, edges, best, what):
    """Every group sends mail for every other one to a neighbour on a cheapest path, and knows what all of it costs; when several
    are, to the one whose connector sorts first."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = dict(zip(network.groups, pool.map(lambda name: routes(network, name), network.groups), strict=True))
    for a in found:
        for b, line in found[a].items():
            firsts = sorted(n for (source, n), cost in edges.items() if source == a and cost + best[n].get(b, 1 << 30) == best[a][b])
            host = network.groups[firsts[0]].host if firsts else ""
            # The address space, another group's local domain, adds its cost of 1 to that of the path.
            expected = f"hop to-{firsts[0]} {best[a][b] + 1} {host}" if a != b else "local"
            assert line == expected, f"{what}: {a} to {b}: {line} instead of {expected}; equal: {firsts}"


def compare(network, edges, what):
    """Every table says `edges`, and so the same costs from everybody to everybody."""
    names = network.topology.names
    for owner, groups in network.tables().items():
        found = up_edges(groups)
        assert found == edges, f"{what}: the table of {owner} differs in {set(found.items()) ^ set(edges.items())}"
    best = {a: distances(edges, a) for a in names}
    assert all(len(best[a]) == len(names) for a in names), f"{what}: everybody is reached"
    compare_routes(network, edges, best, what)
    return best


def agree(network, edges, what):
    """Waits until the routers have told each other; then compares all of it."""
    wait_for(lambda: f"{what} to be known everywhere", lambda: all(up_edges(t) == edges for t in network.tables().values()))
    return compare(network, edges, what)


def test_thirty_routers(box):
    """28 groups, two of them with a second router: every table equals the topology, while all is well, while a link is
    down, and after it healed; so does the next hop and the cost of each of the 756 pairs."""
    topology = Topology(ROOT / "tests" / "topologies" / "cost266.graphml")
    network = box.add(Network(box, topology, standby=("berlin", "paris")))
    assert len(network.routers) == 30
    edges = topology.edges()
    before = compare(network, edges, "at first")
    network.say("frankfurt", "to-munich", "down")
    del edges["frankfurt", "munich"]
    during = agree(network, edges, "a link that is down")
    assert during != before and during["munich"]["frankfurt"] == before["munich"]["frankfurt"], "one direction alone is down"
    network.masters["berlin"].kill()
    network.standby[0].wait_master()
    network.say("frankfurt", "to-munich", "auto")
    assert agree(network, topology.edges(), "a link that is up again, and a new master") == before
