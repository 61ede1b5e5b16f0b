"""Four complete groups in a square a-b-d-c with the diagonal b-c, and the mail among them."""
import concurrent.futures
import re

from .bridgehead import merge
from .group import Organization, wait_full
from .mail import fields
from .place import Lan, Loopback
from .process import Skip, wait_for
from .site import SLOW, Site

COSTS = {"ab": 1, "bc": 1, "cd": 1, "bd": 5, "ac": 5}  # a to d: abcd for 3, abd and acd for 6
# A server that has gone silent is not waited for as long as one across the world.
IMPATIENT = merge(SLOW["delivery"], {"timeouts": dict.fromkeys(("connect", "greeting", "helo", "mail", "rcpt", "data"), "2s")})


def path_of(content):
    """The groups that took a message, in order: the first letter of each."""
    takers = [re.search(r"by \S+?\.(\w)\w*\.example", value) for name, value in fields(content) if name == "received"]
    return "".join(found.group(1) for found in reversed(takers) if found)


class Square:
    """sites: {name: Site} with a node and a worker each, in network namespaces where the system lets us; programs:
    {(name, verb): Bridgehead}. Group d has a second router."""

    def __init__(self, box):
        self.box = box
        try:
            place = Lan(box).place
        except Skip as why:
            print(f"{why}: the groups are on loopback addresses", flush=True)
            place = lambda number: Loopback(box, number)
        organization = Organization(box)
        self.sites = {name: Site(organization, name, number, place(number), delivery=IMPATIENT) for number, name in enumerate("abcd")}
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

    def settle(self):
        """Waits until nodes and workers use what their group publishes at this moment."""
        for name, site in self.sites.items():
            version = site.table()
            for verb in ("node", "worker"):
                wait_for(lambda: f"table {version} at the {verb} of {name}", lambda: self.applied(name, verb) >= version)

    def applied(self, name, verb):
        found = re.findall(rf"{verb}\.routes .*version=(\d+) applied=yes", self.programs[name, verb].process.log.read_text())
        return int(found[-1]) if found else 0

    def paths(self, name, *users):
        """The paths that mail for these users of a group came by."""
        return {path_of(content) for user in users for content in self.sites[name].contents(user)}
