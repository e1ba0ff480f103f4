"""tokenswarm: load tests for LLM serving systems, on Locust.

Importing this package imports neither Locust nor gevent and patches nothing; locustfiles import
`harness.users`.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("tokenswarm")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
