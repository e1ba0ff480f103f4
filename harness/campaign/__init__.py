"""A matrix of runs in one command: `tokenswarm campaign FILE.toml`.

    file       what the TOML file says, checked; `axes` and `values` are its parts, `placeholders` is `{name}` in its texts,
               `secrets` what must not stand in it
    matrix     the runs that it makes, in their order, with their seeds and command lines
    check, dry do all their options hold? Asked of Locust's own parser in a process of its own, before any load
    state      campaign.json: what has been run, with which words, and how it ended
    steps      one run after another, each a `locust --headless` of its own; Ctrl-C; the time left
    gather     the run directories, read again; `figures` and `switching` are what is compared, `table` how it looks
    cli        the command

Load is made by Locust as ever: a campaign types its command lines, and reads the run directories they leave.
"""
