"""Four complete groups in a square a-b-d-c with the diagonal b-c, and the mail among them."""
import collections
import concurrent.futures
import itertools
import signal
import threading
import time

from .bridgehead import merge
from .group import FAST, Organization, wait_full
from .mail import field, message
from .place import Lan, Loopback
from .process import Failed, Skip, wait_for
from .site import SLOW, Site, path_of
from .smtp import Client

COSTS = {"ab": 1, "bc": 1, "cd": 1, "bd": 5, "ac": 7}  # a to d: abcd for 3, abd for 6, acd for 8
# A server that has gone silent is not waited for as long as one across the world. One failure that routers do not take for DOWN
# is tried again at once; more of them wait for a table.
IMPATIENT = merge(SLOW["delivery"], {"retry": {"glitch": ["1s"]}, "timeouts": {"connect": "1s", **dict.fromkeys(("greeting", "helo", "mail", "rcpt", "data"), "4s")}})


class Square:
    """sites: {name: Site} with a node and a worker each, in network namespaces where the system lets us; programs:
    {(name, verb): Bridgehead}. Group d has a second router."""

    def __init__(self, box):
        self.box, self.began = box, time.monotonic()
        try:
            place = Lan(box).place
        except Skip as why:
            print(f"{why}: the groups are on loopback addresses", flush=True)
            place = lambda number: Loopback(box, number)
        organization, places = Organization(box), [place(number) for number in range(4)]
        self.apart = hasattr(places[0], "cut")
        self.sites = {name: Site(organization, name, number, places[number], delivery=IMPATIENT,
                                 router={**FAST, "lifetime": "5m"}) for number, name in enumerate("abcd")}
        self.routers = {name: [site.router()] for name, site in self.sites.items()}
        self.routers["d"].append(self.sites["d"].router(host=self.sites["d"].place.other_host()))
        self.programs = {}
        for link, cost in COSTS.items():
            one, other = (self.sites[name] for name in link)
            one.knows(other)
            other.knows(one, dial=False)
            one.leads_to(f"to-{other.name}", other, cost)
            other.leads_to(f"to-{one.name}", one, cost)

    def start(self):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.box.add, self.sites.values()))
            list(pool.map(self.box.add, [router for routers in self.routers.values() for router in routers]))
            for name, verb, program in pool.map(self.run, [(name, verb) for verb in ("node", "worker") for name in self.sites]):
                self.programs[name, verb] = program
        wait_full(*(self.master(name) for name in self.sites))
        wait_for("every table to hold every group", lambda: all(site.groups() == set(self.sites) for site in self.sites.values()))
        self.settle()
        return self

    def run(self, what):
        name, verb = what
        return name, verb, self.sites[name].program(verb)

    def master(self, name):
        return wait_for(f"a master in {name}", lambda: next((r for r in self.routers[name] if r.running() and r.is_master()), None))

    def settle(self, names="abcd"):
        """Waits until nodes and workers of these groups use what their group publishes at this moment."""
        for name in names:
            self.sites[name].settle(self.programs[name, "node"], self.programs[name, "worker"])

    def paths(self, name, *users):
        """The paths that mail for these users of a group came by."""
        return {path_of(content) for user in users for content in self.sites[name].contents(user)}

    def probe(self, user, path, count=5):
        """What is sent from a to d now goes this way."""
        print(f"  {time.monotonic() - self.began:4.1f} s: {user}", flush=True)
        self.settle(path)
        users = [f"{user}{n}" for n in range(count)]
        self.sites["a"].send(*users, domain="d.example")
        self.sites["d"].wait_mail(*users)
        assert self.paths("d", *users) == {path}, f"{user}: {self.paths('d', *users)} instead of {path}"

    def wait_links(self, up, *links, known_by="abcd"):
        """Waits until these groups have heard that connectors, "bc" for that from b to c, are UP or not."""
        state = lambda by, link: self.sites[by].records()[link[0]]["connectors"][f"to-{link[1]}"]["up"]
        wait_for(lambda: f"{links} to be {'UP' if up else 'DOWN'} at {known_by}: {[(by, link, state(by, link)) for by in known_by for link in links]}",
                 lambda: all(state(by, link) == up for by in known_by for link in links))

    def wait_queued(self, name, domain, count):
        """Waits until at least so many messages for a domain wait in a group."""
        waiting = lambda: sum(one["waiting"] + one["in_hand"] for one in self.programs[name, "worker"].json("queue", "list")
                              if one["queue"].split("/")[0] == domain)
        wait_for(lambda: f"{count} messages for {domain} at {name}: {waiting()}", lambda: waiting() >= count)

    # -- faults

    def in_hand(self):
        """Deliveries under way: what may arrive twice when their connections end now."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda name: self.programs[name, "worker"].json("status")["members"], self.sites)
            return sum(one["jobs"] for members in found for one in members if one["jobs"])

    def kill_bridgehead(self, name):
        """kill -9 of the node of a group; returns what may arrive twice for it."""
        node = self.programs[name, "node"].process
        node.signal(signal.SIGSTOP)  # what it has committed without an answer is in hand from here on
        doubt = self.in_hand()
        node.kill()
        return doubt

    def parts(self, name):
        return [self.programs[name, "node"].process, self.programs[name, "worker"].process, *self.routers[name]]

    def cut_off(self, name):
        """Nothing reaches this group, or leaves it. Without namespaces: its programs stand still, which others cannot tell."""
        for process in self.parts(name):
            process.signal(signal.SIGSTOP)
        if not self.apart:
            return self.in_hand()
        self.sites[name].place.cut()
        doubt = self.in_hand()
        for process in self.parts(name):
            process.signal(signal.SIGCONT)
        return doubt

    def join(self, name):
        if self.apart:
            self.sites[name].place.join()
        else:
            for process in self.parts(name):
                process.signal(signal.SIGCONT)

    # -- account

    def account(self, traffic, doubt, timeout=60):
        """All that was acknowledged has arrived, nothing waits, and no more came twice than was in doubt."""
        found = lambda: collections.Counter(int(field(content, "x-number")) for site in self.sites.values() for content in site.contents("load"))
        missing = lambda: traffic.acked - set(found())
        wait_for(lambda: f"{len(missing())} of {len(traffic.acked)} messages: {sorted(missing())[:20]}", lambda: not missing(), timeout, 0.2)
        waiting = lambda: {name: self.programs[name, "worker"].json("status")["messages"] for name in self.sites}
        wait_for(lambda: f"queues to be empty: {waiting()}", lambda: not any(waiting().values()), timeout, 0.2)
        counts = found()
        figures = {"acknowledged": len(traffic.acked), "delivered": len(traffic.acked & set(counts)), "unanswered": len(traffic.unknown),
                   "refused": traffic.refused, "duplicates": sum(counts.values()) - len(counts), "in_doubt": doubt,
                   "stray": len(set(counts) - traffic.acked - traffic.unknown)}
        print(figures, flush=True)
        assert figures["stray"] == 0 and figures["duplicates"] <= doubt, figures
        for name in self.sites:
            self.programs[name, "worker"].cli("queue", "fsck")
        return figures


class Traffic:
    """Numbered mail from every group to every other one. acked: accepted with 250; unknown: the connection ended before the
    answer to the last dot."""

    def __init__(self, square, pause=0.1):
        self.square, self.pause = square, pause
        self.numbers, self.over = itertools.count(1), threading.Event()
        self.acked, self.unknown, self.refused = set(), set(), 0
        self.threads = [threading.Thread(target=self.feed, args=(name,), daemon=True) for name in square.sites]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def feed(self, name):
        for to in itertools.cycle([other for other in self.square.sites if other != name]):
            if self.over.wait(self.pause):
                return
            number, ended = next(self.numbers), False
            try:
                with Client(self.square.sites[name].submit()) as client:
                    client.ehlo()
                    client.envelope("s@sender.example", f"load@{to}.example")
                    ended = True
                    client.data(b"X-Number: %d\r\n" % number + message("load"))
                    self.acked.add(number)
            except (OSError, Failed):
                if ended:
                    self.unknown.add(number)
                else:
                    self.refused += 1
