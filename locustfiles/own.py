"""A user of your own, to begin with: copy it and change what it asks.

    tokenswarm simulate --port 8080 &
    locust -f locustfiles/own.py --host http://127.0.0.1:8080 --headless --levels 1,2,4 --requests-per-level 20

One class with several tasks has the same mix of requests at every level. Of several classes Locust deals out whole
users by their `weight`, so a level of one user has one of them only (sambastudio_experts.py).
"""

import random

from locust import between, task

from harness.users import LLMUser

CITIES = ("Campinas", "Palo Alto", "Paris", "Recife")


class Traveller(LLMUser):
    """Asks about cities, and now and then has a document summed up."""

    backend = "openai"  # the dialect that the server speaks: openai, llamacpp, vllm, tgi, sambanova, ...
    api_mode = "chat"  # one of that dialect's modes: the table of docs/backends.md. Left out, the first one
    wait_time = between(0.1, 0.3)  # seconds of thought between requests; without it the next follows at once
    # Of requests without a text of their own, in tokens: mean and standard deviation. A number does as well.
    # The options --prompt-tokens and --output-tokens win.
    prompt_tokens = "lognormal:300,100"
    output_tokens = "normal:40,10"

    @task(3)
    def ask_about(self) -> None:
        """Three times as often as the other. `name` is what a request counts under in requests.parquet."""
        record = self.ask(f"What is {random.choice(CITIES)} known for?", max_tokens=40, name="question")
        # `ask` returns when the answer has ended, and raises nothing: its record says what happened.
        if record.error_class is None:
            self.ask("And what is near it?", max_tokens=20, name="follow-up")

    @task(1)
    def sum_up(self) -> None:
        """Without a text of your own, one is made that has the size drawn from `prompt_tokens`."""
        self.ask(name="summary")
