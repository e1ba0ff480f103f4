r"""Several experts of one SambaStudio composition (CoE, bundle) at once: what does switching between them cost?

    locust -f locustfiles/sambastudio_experts.py --headless -u 4 -t 120s --tokenizer FOLDER \
        --host https://HOST/api/v2/predict/generic/PROJECT/ENDPOINT

The key comes from SAMBASTUDIO_API_KEY. Put in the experts of your own endpoint. Locust deals users out among the
classes by `weight`; a class named on its command line runs alone, which gives the figures to compare with:

    locust -f locustfiles/sambastudio_experts.py Llama ...

The tables count all together; in requests.parquet and in Locust's statistics `name` tells them apart.
"""

from collections.abc import Mapping
from typing import ClassVar

from locust import task

from harness.users import LLMUser


class Llama(LLMUser):
    """One expert."""

    backend = "sambastudio"
    backend_options: ClassVar[Mapping[str, str]] = {"expert": "Meta-Llama-3-8B-Instruct"}

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask(name="llama")


class Mistral(LLMUser):
    """Another."""

    backend = "sambastudio"
    backend_options: ClassVar[Mapping[str, str]] = {"expert": "Mistral-7B-Instruct-v0.2"}

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask(name="mistral")
