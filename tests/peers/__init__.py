"""What the tests that use real programs stand on: sandboxes, peers (Postfix, Exim, Dovecot, DNS, Redis, our sink)
and Bridgehead itself. Python's standard library only. Everything runs on loopback, in a temporary directory, and is
ended by its process id."""
