"""Four complete groups, each with a Redis, a node, a worker and a router of its own, in a square with a diagonal: mail finds
the cheapest way that there is, whatever befalls the groups, and all of it arrives."""
from peers.square import Square


def test_the_cheapest_path(box):
    """Mail goes by three cheap connectors rather than by two dear ones, and nowhere else."""
    square = Square(box).start()
    a, d = square.sites["a"], square.sites["d"]
    users = [f"u{n}" for n in range(20)]
    a.send(*users, domain=d.domain)
    d.wait_mail(*users)
    assert square.paths("d", *users) == {"abcd"}
    counts = {name: square.programs[name, "node"].metric("bridgehead_smtp_messages_accepted_total") for name in square.sites}
    assert counts == dict.fromkeys("abcd", len(users)), counts
