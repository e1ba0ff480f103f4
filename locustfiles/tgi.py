r"""Text Generation Inference by its own routes. A key, where it wants one, comes from TOKENSWARM_API_KEY.

    locust -f locustfiles/tgi.py --host http://127.0.0.1:8080 --headless --levels 1,4,8,16
    locust -f locustfiles/tgi.py --host http://127.0.0.1:8080 --headless -u 8 -t 60s --stream no

Streamed it asks /generate_stream; with `--stream no` /generate, whose answers have no first token but the
server's queue time. `--api-mode chat` or `completions` uses its OpenAI-style routes. It decodes greedily unless
told otherwise, and no answer can be held to a length:

    --extra-body '{"do_sample": true, "temperature": 0.7, "truncate": 1024}'
"""

from locust import task

from harness.users import LLMUser


class TGI(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "tgi"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
