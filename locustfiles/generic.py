r"""A server of one's own that speaks OpenAI's words, and the ones that differ from it in little.

    TOKENSWARM_BACKEND=sglang locust -f locustfiles/generic.py --host http://127.0.0.1:30000 --headless --levels 1,2,4,8
    locust -f locustfiles/generic.py --host http://127.0.0.1:9000 --model M --headless -u 4 -t 60s \
        --backend-option auth_header=x-api-key --backend-option auth_scheme=

TOKENSWARM_BACKEND (on every worker) is one of: tabbyapi (5000), sglang (30000), ollama (11434), lmdeploy
(23333), tensorrt-llm (8000), ctranslate2, onnx; their usual ports in brackets. Without it: openai, with
OPENAI_API_KEY for a key. For the others the key is TOKENSWARM_API_KEY.

What a server does differently is said here or with `--backend-option`, which wins:

    auth_header, auth_scheme  where the key goes: Authorization and Bearer; an empty scheme for the key alone
    max_tokens_field          max_tokens, max_completion_tokens, max_length ...
    include_usage             yes, or no where `stream_options` is refused; then a tokenizer counts
    length_fields             what makes an answer go on to its limit: ignore_eos+min_tokens, or none
"""

import os
from collections.abc import Mapping
from typing import ClassVar

from locust import task

from harness.users import LLMUser


class Generic(LLMUser):
    """Asks for text of the configured sizes."""

    backend = os.environ.get("TOKENSWARM_BACKEND") or "openai"
    backend_options: ClassVar[Mapping[str, str]] = {}  # e.g. {"auth_header": "x-api-key", "auth_scheme": ""}

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
