"""Complete routing groups: Redis, routers, nodes and workers."""
import re

from .bridgehead import Bridgehead, merge
from .group import Group
from .mail import fields, message
from .process import wait_for
from .smtp import Client, send

# Workers alone would try again after ten minutes: what arrives in a test came by a new table.
SLOW = {"delivery": {"retry": {"glitch": ["10m"], "schedule": ["10m"]}}}


def path_of(content):
    """The groups that took a message, in order: the first letter of each."""
    takers = [re.search(r"by \S+?\.(\w)\w*\.example", value) for name, value in fields(content) if name == "received"]
    return "".join(found.group(1) for found in reversed(takers) if found)


class Site(Group):
    """A whole group: Redis, router, nodes and a worker. Its mail is for <name>.example."""

    def __init__(self, organization, name, number, place=None, redis=True, **config):
        super().__init__(organization, name, number, place=place, redis=redis)
        self.domain, self.mail, self.ports = f"{name}.example", self.box.path(name, "mail", "x").parent, {}
        self.config = merge(self.config, {**SLOW, **config, "local_domains": [
            {"domain": self.domain, "deliver": f"maildir:{self.mail}/%u"}]})

    def listen(self, node="node"):
        """Where a node of this group takes mail from other groups, also while it does not run."""
        if node not in self.ports:
            self.ports[node] = self.place.port()
        return self.host, self.ports[node]

    def submit(self, node="node"):
        """Where it takes mail from the test."""
        return self.place.inside or self.host, self.listen(node)[1]

    def leads_to(self, name, other, cost=1, *nodes, **more):
        self.config["connectors"].append({"name": name, "type": "routing_group", "to_group": other.name, "cost": cost,
                                          "smart_hosts": ["{}:{}".format(*other.listen(node)) for node in nodes or ["node"]], **more})

    def program(self, verb, name=None, **config):
        name = name or verb
        own = {"virtual_servers": [{"name": "default", "hostname": f"{name}.{self.domain}", "relay_from": [self.place.network],
                                    "listen": sorted({"{}:{}".format(*to) for to in (self.listen(name), self.submit(name))})}]}
        program = Bridgehead(self.box, f"{self.name}-{name}", verb=verb, ready=False, config=merge(self.settings(), {**own, **config}),
                             place=self.place)
        program.process.ready = lambda: program.ready(verb)
        self.box.add(program.process)
        return program

    def send(self, *users, domain, node="node"):
        for user in users:
            send(self.submit(node), "s@sender.example", f"{user}@{domain}", message(user))

    def send_many(self, count, recipient):
        """In one session."""
        with Client(self.submit()) as client:
            client.ehlo()
            for number in range(count):
                client.envelope("s@sender.example", recipient)
                client.data(message(str(number)))

    def settle(self, *programs):
        """Waits until these nodes and workers use what is published at this moment."""
        version = self.table()
        for one in programs:
            wait_for(lambda: f"table {version} at {one.name}", lambda: self.applied(one) >= version)

    def applied(self, program):
        """The version of the table that a node or a worker uses."""
        found = re.findall(r"(?:node|worker)\.routes .*version=(\d+) applied=yes", program.process.log.read_text())
        return int(found[-1]) if found else 0

    def contents(self, user):
        """The messages that this user got."""
        new = self.mail / user / "new"
        return [file.read_bytes() for file in new.iterdir()] if new.exists() else []

    def delivered(self, user):
        new = self.mail / user / "new"
        return len(list(new.iterdir())) if new.exists() else 0

    def wait_mail(self, *users):
        for user in users:
            wait_for(lambda: f"mail for {user} at {self.name}", lambda: self.delivered(user) >= 1)

    def wait_event(self, what, connector):
        wait_for(lambda: f"{connector} to be {what}: {self.history()}",
                 lambda: any(e["w"] == what and e["c"] == connector for e in self.history()))
