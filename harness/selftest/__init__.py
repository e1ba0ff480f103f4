"""`tokenswarm selftest`: how much load one worker process sustains on this machine before its stamps go wrong.

    cli ─► search ─► lab ─► pacer   a process that streams on a plan and logs when it really sent
                      │ └─► load    a process that is a worker's load path: client, engine, records
                      └───► steps   the two logs joined: the error of what the worker measured
    capacity                        what was found, kept for later runs, and what it says of a planned load

`pacer` and `load` import only what their process needs; `search`, `steps` and `capacity` open no socket.
"""
