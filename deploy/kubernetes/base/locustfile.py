"""The load that the pods make: change it here and apply the folder again. Master and workers mount this one file."""

from locust import task

from harness.users import LLMUser


class Asker(LLMUser):
    """Any OpenAI-compatible server: prompts of 100 to a few thousand tokens, answers of about 150."""

    backend = "openai"
    prompt_tokens = "lognormal:550,300"
    output_tokens = "normal:150,40"

    @task
    def ask_once(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
