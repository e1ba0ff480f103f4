r"""Maritaca's cloud. The key comes from MARITACA_API_KEY, MARITALK_API_KEY or TOKENSWARM_API_KEY.

    locust -f locustfiles/maritaca.py --host https://chat.maritaca.ai/api --model sabiazinho-4 --headless \
        --levels 1,2,4 --requests-per-level 20

`--api-mode responses` uses the Responses API; `legacy` the older `/chat/inference`, whose streams come four
tokens at a time and without counts. For times of single tokens, at the price of more messages:

    --api-mode legacy --backend-option tokens_per_message=1 --tokenizer maritaca-ai/sabia-2-tokenizer-small

In the flex tier the server may hold a request for five minutes before it answers 429, and queueing looks like
a late first token. Give it more time than that:

    --extra-body '{"service_tier": "flex"}' --first-token-timeout 330
"""

from locust import task

from harness.users import LLMUser


class Maritaca(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "maritaca"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
