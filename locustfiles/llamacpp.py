"""llama.cpp's server by its own route, `/completion`, whose timings are kept beside ours.

    locust -f locustfiles/llamacpp.py --host http://127.0.0.1:8080 --headless -u 8 -t 60s
    locust -f locustfiles/llamacpp.py --host http://127.0.0.1:8080 --headless --levels 1,2,4,8

`--api-mode chat` or `completions` uses its OpenAI-style routes.
"""

from locust import task

from harness.users import LLMUser


class LlamaCpp(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "llamacpp"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
