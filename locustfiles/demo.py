"""People who chat: short and long questions, answers of every length. `make demo` runs it.

    tokenswarm simulate --port 8080 &
    locust -f locustfiles/demo.py --host http://127.0.0.1:8080 --headless --levels 1,2,4,8

One class, so that every level has the same mix. With several classes Locust deals out whole users by
their `weight`: a level of two users would have another mix than one of twenty.
"""

from locust import task

from harness.users import LLMUser


class Chatter(LLMUser):
    """A question of 40 to some 600 tokens, an answer of about 60."""

    backend = "openai"
    prompt_tokens = "lognormal:200,120"
    output_tokens = "normal:60,20"

    @task
    def chat(self) -> None:
        """One turn."""
        self.ask(name="chat")
