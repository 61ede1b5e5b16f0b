"""A published research network, a router process for every node: what they agree on is held against computations that
share no line with the program (tests/peers/topology.py)."""
from peers.network import Network
from peers.process import ROOT, wait_for
from peers.topology import Topology, distances, up_edges


def compare(network, edges, what):
    """Every table says `edges`, and so the same costs from everybody to everybody."""
    names = network.topology.names
    for owner, groups in network.tables().items():
        found = up_edges(groups)
        assert found == edges, f"{what}: the table of {owner} differs in {set(found.items()) ^ set(edges.items())}"
    best = {a: distances(edges, a) for a in names}
    assert all(len(best[a]) == len(names) for a in names), f"{what}: everybody is reached"
    return best


def agree(network, edges, what):
    """Waits until the routers have told each other; then compares all of it."""
    wait_for(lambda: f"{what} to be known everywhere", lambda: all(up_edges(t) == edges for t in network.tables().values()))
    return compare(network, edges, what)


def test_thirty_routers(box):
    """28 groups, two of them with a second router: every table equals the topology, while all is well, while a link is
    down, and after it healed; the costs of all pairs change and come back."""
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
