"""Topologies in GraphML, shortest paths over them, and what a router published, decoded from docs/protocol.md alone:
nothing here shares a line with the program under test."""
import hashlib
import heapq
import xml.etree.ElementTree as xml


class Topology:
    """Undirected links with a cost. names: of the nodes; links: {frozenset of two names: cost}."""

    def __init__(self, file):
        space = "{http://graphml.graphdrawing.org/xmlns}"
        root = xml.parse(file).getroot()
        keys = {key.get("attr.name"): key.get("id") for key in root.iter(space + "key")}
        data = lambda node, name: next(one.text for one in node.iter(space + "data") if one.get("key") == keys[name])
        label = {node.get("id"): data(node, "label") for node in root.iter(space + "node")}
        self.names = sorted(label.values())
        self.links = {frozenset((label[edge.get("source")], label[edge.get("target")])): int(data(edge, "cost"))
                      for edge in root.iter(space + "edge")}

    def neighbours(self, name):
        return sorted(next(iter(link - {name})) for link in self.links if name in link)

    def edges(self):
        """{(from, to): cost}, both directions."""
        return {pair: cost for link, cost in self.links.items() for pair in (tuple(sorted(link)), tuple(sorted(link))[::-1])}

    def eccentricity(self, name):
        return max(hops for hops in distances(dict.fromkeys(self.edges(), 1), name).values())

    def diameter(self):
        return max(self.eccentricity(name) for name in self.names)


def distances(edges, source):
    """{node: least cost from source} over {(from, to): cost}."""
    out, found, queue = {}, {}, [(0, source)]
    for (a, b), cost in edges.items():
        out.setdefault(a, []).append((b, cost))
    while queue:
        cost, node = heapq.heappop(queue)
        if node not in found:
            found[node] = cost
            for to, more in out.get(node, []):
                heapq.heappush(queue, (cost + more, to))
    return found


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        piece = self.data[self.at:self.at + size]
        assert len(piece) == size, "ends early"
        self.at += size
        return piece

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def varint(self):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        return self.take(self.varint()).decode()

    def short(self):
        return self.take(self.number(1)).decode()

    def items(self, read):
        return [read() for _ in range(self.varint())]


def connector(r):
    one = {"name": r.text(), "type": r.number(1), "to": r.text(), "cost": r.number(1), "scope": r.number(1),
           "up": r.number(1) == 1, "weight": r.number(1), "dns": r.number(1), "relay": r.number(1)}
    host = lambda: (r.text(), r.number(1))
    one["sources"], one["targets"] = r.items(host), r.items(host)
    one["spaces"] = r.items(lambda: (r.text(), r.number(1)))
    one["max_size"], one["priorities"], one["content"] = r.varint(), r.number(1), r.number(1)
    one["accept"], one["reject"] = r.items(r.text), r.items(r.text)
    return one


FLOORS = b"LST\x02"


def floors(data):
    """{group: whether mail for it waits} of what was dropped, as a published table remembers it."""
    if data[:4] != FLOORS:
        return {}
    r, barred = Reader(data[8:8 + int.from_bytes(data[4:8], "big")]), {}
    while r.at < len(r.data):
        left, hold, header, body = r.number(4), r.number(4), r.number(2), r.number(4)
        head, _ = Reader(r.take(header)), r.take(body)
        assert left > 0 and (body == 0 or hold > 0) and head.number(1) == 1
        barred[head.short()] = body > 0
    return barred


def published(data):
    """{group: {version, master, members, connectors}} of a published table; its digests are checked."""
    r, groups = Reader(data), {}
    if data[:4] == FLOORS:
        r.at = 8 + int.from_bytes(data[4:8], "big")
    while r.at < len(data):
        r.number(4)
        header, body = r.number(2), r.number(4)
        head, body = Reader(r.take(header)), r.take(body)
        assert head.number(1) == 1
        group = head.short()
        version = tuple(head.number(4) for _ in range(3)) + (head.number(8),)
        assert head.number(4) == len(body) and head.take(32) == hashlib.sha256(body).digest()
        record = Reader(body)
        assert record.number(1) == 1
        groups[group] = {"version": version, "master": record.text(), "members": record.items(lambda: (record.text(), record.number(1))),
                         "connectors": {one["name"]: one for one in record.items(lambda: connector(record))}}
        assert record.at == len(body)
    return groups


def up_edges(groups):
    """{(from, to): cost} of the connectors between groups that are UP."""
    edges = {}
    for name, group in groups.items():
        for one in group["connectors"].values():
            if one["type"] == 1 and one["up"]:
                pair = (name, one["to"])
                edges[pair] = min(one["cost"], edges.get(pair, one["cost"]))
    return edges
