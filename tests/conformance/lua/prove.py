"""prove.py SOCKET NAMESPACE [PARTITIONS]: walks a store that a program left behind and proves its invariants."""
import sys

from resp import Client
from store import Store
from walk import prove


def main(address, namespace, partitions="4"):
    client = Client(int(address) if address.isdigit() else address)
    store = Store(lambda tag: client, namespace, int(partitions))
    store.load()
    problems = prove(store)
    client.close()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main(*sys.argv[1:]))
