#!/usr/bin/env python3
"""The load generator and the sink keep the same book, whatever the sink does to the connections."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from peers.process import Sandbox
from peers.sink import Load, Sink

SEED = int(os.environ.get("SEED", "1"))
TROUBLE = ("connect:421:0.05", "mail:drop:0.03", "rcpt:450:0.1", "data:reset:0.02", "dot:drop:0.05", "dot:554:0.05",
           "ehlo:delay=5:0.1")


def one(rules, **options):
    with Sandbox("tools") as box:
        sink = box.add(Sink(box, rules=rules, seed=SEED))
        load = Load(box, sink.address, sessions=40, messages=1500, per_connection=7, **options)
        load.start()
        results, ids, stats = load.results(120), sink.ids(), sink.stats()
        assert load.acked() == set(ids), (results, stats)
        assert len(ids) == stats["unique"] == stats["messages"] == results["acked"], (results, stats)
        assert stats["duplicates"] == stats["corrupt"] == stats["unnumbered"] == 0, stats
        assert stats["current"] == 0 and 0 < stats["max"] <= 40, stats
        assert not load.acked() & load.unknown()
        if not rules:
            assert results["acked"] == 1500 and results["lost_connections"] == 0, results
        elif not options.get("retry"):
            asked = results["acked"] + results["tempfail"] + results["permfail"] + results["unknown"]
            assert results["acked"] < 1500 and results["unknown"] > 0 and asked <= 1500 + results["connections"], results
        print(f"rules {len(rules)}, {options}: {results['acked']} acknowledged, {results['unknown']} unknown")


for rules in ((), TROUBLE):
    for options in ({}, {"pipeline": True}, {"bdat": True}, {"retry": True}, {"size": 200000}):
        one(rules, **options)
