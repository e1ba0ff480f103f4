"""A pytest plugin: property tests with few examples, always the same, and none kept.

Under a mutant or under branch coverage each example costs again; what many examples find, `make test` and `make fuzz` do.
"""

import hypothesis

hypothesis.settings.register_profile("few", derandomize=True, deadline=None, database=None, max_examples=20)
hypothesis.settings.load_profile("few")
