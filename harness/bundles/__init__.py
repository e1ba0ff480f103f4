"""Evidence bundles: a run in one file that says what is in it, can be checked, and can be run again.

    manifest   what a bundle holds: names, sizes, SHA-256
    contents   which files of a run go in, and which do not
    packing    the archive, the same bytes each time
    opening    an archive checked to its last byte, and unpacked
    bodies     bodies.csv: the SHA-256 of each request's body, in the order of the sequence
    command    the Locust command line of a run, from what its bundle says
    sequence   two runs' bodies held against each other
    cli        `tokenswarm bundle`
    rerun      `tokenswarm rerun`

docs/bundles.md has the format and what "the same sequence" means.
"""
