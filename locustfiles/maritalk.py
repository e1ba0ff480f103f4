r"""MariTalk Local, Maritaca's server for one's own machine. It asks for no key on its port.

    locust -f locustfiles/maritalk.py --host http://127.0.0.1:9000 --headless --levels 1,2,4,8 --repeats 5 \
        --prompt-tokens 550 --output-tokens 150 --tokenizer maritaca-ai/maritalk-tokenizer-small

`/generate`; `--api-mode chat` uses `/chat/generate`. It never streams, so there is no TTFT, and it counts no
tokens: `--tokenizer` (-large for Medium) does. Answers end where the model ends them. Maritaca's own benchmark
has it ramble on and leaves short answers out:

    --extra-body '{"temperature": 3.0}' --drop-answers-under 100

Servers of 2023 say their times in ms, later ones in s; which it is, is seen. To say it yourself:

    --backend-option timing_unit=ms
"""

from locust import task

from harness.users import LLMUser


class MariTalk(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "maritalk"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
