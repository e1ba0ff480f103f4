"""Mutation tests of the core's arithmetic: does a test fail when the code is wrong? README.md has the results.

One change at a time is made to a module (`mutants`), and the tests that reach the changed line run against it
(`trials`). A change that no test notices must have an entry in config.toml that says why it changes nothing.
"""
