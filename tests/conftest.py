"""What every test runs under: no proxy, and examples of property tests that stay or change.

The proxies of the machine's environment are not for the servers of the tests, which are all on this machine.

Property tests choose the same examples at each `make test`, new ones at each `make fuzz`.

A test command that fails on one in a thousand runs says nothing of the change it was run for. What `make fuzz`
finds becomes an `@example`, which both then keep.
"""

import os

from hypothesis import HealthCheck, settings

for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[variable]

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile(
    "random", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
