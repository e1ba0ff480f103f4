r"""vLLM by its OpenAI-style routes. A key, where it wants one, comes from VLLM_API_KEY or TOKENSWARM_API_KEY.

    locust -f locustfiles/vllm.py --host http://127.0.0.1:8000 --headless --levels 1,2,4,8
    locust -f locustfiles/vllm.py --host http://127.0.0.1:8000 --headless -u 8 -t 60s --cache-salt request

`--api-mode completions` sends prompts without the chat template, and as token ids with `--prompt-ids`. Answers
have exactly the asked length unless `--exact-output no`. Queue, prefill and decode times of every request are
there if the server was started with `--enable-per-request-metrics`.
"""

from locust import task

from harness.users import LLMUser


class VLLM(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "vllm"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
