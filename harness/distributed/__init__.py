"""Runs over several processes: what a master and its workers are beside a local run.

    master     session ─► crew ─► roster, hand      who is there, and what each of them last said
                          ├─► incidents             what happens to them, and what follows
                          └─► collecting            their journals, at the end
    worker     worker ─► assignment ─► notebook     one run's part on a worker, and its journal
    between    briefing, parcel, fetch                bytes that one gives and another fetches
               clocks                               by how much their clocks differ

What they say to each other is in `harness.orders`; who may send when, in `harness.plan` and `harness.leave`.
"""
