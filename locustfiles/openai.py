"""Any OpenAI-compatible server (vLLM, llama.cpp, TGI, SGLang, Ollama, a cloud): one request after another.

    locust -f locustfiles/openai.py --host http://127.0.0.1:8000 --model NAME --headless \
        --levels 1,2,4,8 --requests-per-level 40 --prompt-tokens 550 --output-tokens 150

`--api-mode completions` uses /v1/completions instead of /v1/chat/completions.
"""

from locust import task

from harness.users import LLMUser


class OpenAI(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "openai"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
