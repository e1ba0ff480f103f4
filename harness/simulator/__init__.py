"""The built-in LLM server, `tokenswarm simulate`: real sockets and real time, no model.

    wire -> server -> speech -> a dialect -> exchange -> engine -> batching
    bytes   sockets   routes    request -> Job, tokens -> bytes    time      arithmetic

It is the ground truth that the harness is tested against: what it charges a request is known exactly
(`batching`), and with a log it says when it wrote each request's first and last token. It imports neither
Locust nor gevent.
"""

from harness.simulator.batching import CostModel
from harness.simulator.cli import add_parser, main
from harness.simulator.server import Settings

__all__ = ["CostModel", "Settings", "add_parser", "main"]
