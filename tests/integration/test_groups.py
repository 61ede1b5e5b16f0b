"""Four complete groups, each with a Redis, a node, a worker and a router of its own, in a square with a diagonal: mail finds
the cheapest way that there is, whatever befalls the groups, and all of it arrives."""
import signal

from peers.square import Square, Traffic


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


def test_everything_arrives(box):
    """Mail among all groups while a bridgehead dies, a group is cut off, a router master is killed, and all of it heals: it
    takes the next way each time, waits where there is none, and comes back to the first."""
    square = Square(box).start()
    a, b, d = (square.sites[name] for name in "abd")
    traffic = box.add(Traffic(square))
    square.probe("well", "abcd")

    square.routers["b"][0].signal(signal.SIGSTOP)  # nobody tells b's worker before mail is queued for the dead one
    doubt = square.kill_bridgehead("c")
    queued = [f"queued{n}" for n in range(20)]
    a.send(*queued, domain="d.example")
    square.wait_queued("b", "d.example", len(queued))
    square.routers["b"][0].signal(signal.SIGCONT)
    square.wait_links(False, "bc", "dc")
    d.wait_mail(*queued)
    assert square.paths("d", *queued) == {"abd"}
    square.probe("killed", "abd")
    square.programs["c", "node"].process.start()
    square.wait_links(True, "bc", "dc", "ac")
    square.probe("healed", "abcd")

    doubt += square.cut_off("b")
    old = square.master("d")
    old.kill()
    waiting = [f"waiting{n}" for n in range(5)]
    a.send(*waiting, domain="b.example")
    square.wait_links(False, "ab", "cb", "db", known_by="acd")
    assert square.master("d") != old
    square.probe("cut", "acd")
    if square.apart:  # else it stands still
        b.send("home", domain="b.example")
        b.send("away", domain="d.example")
        b.wait_mail("home")
    assert not any(b.delivered(user) for user in waiting)
    square.join("b")
    old.start()
    square.wait_links(True, "ab", "cb", "db", "ba", "bc", "bd")
    b.wait_mail(*waiting)
    if square.apart:
        d.wait_mail("away")
    square.probe("whole", "abcd")

    traffic.stop()
    square.account(traffic, doubt)
