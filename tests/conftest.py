"""How property tests choose their examples: the same ones at each `make test`, new ones at each `make fuzz`.

A test command that fails on one in a thousand runs says nothing of the change it was run for. What `make fuzz`
finds becomes an `@example`, which both then keep.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile(
    "random", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
