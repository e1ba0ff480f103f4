r"""SambaNova Cloud, or SambaStack of one's own. The key comes from SAMBANOVA_API_KEY or TOKENSWARM_API_KEY.

    locust -f locustfiles/sambanova.py --host https://api.sambanova.ai/v1 --model Meta-Llama-3.3-70B-Instruct \
        --headless --levels 1,2,4 --requests-per-level 20

`--api-mode completions` sends prompts without the chat template. The account's rate limits hold: refused users
rest as long as Retry-After says. `--header 'ss-sn-options: accuracy_debug'` brings more of the server's own
figures and makes every answer slower.
"""

from locust import task

from harness.users import LLMUser


class SambaNova(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "sambanova"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
