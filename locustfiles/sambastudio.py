r"""An endpoint of SambaStudio. The key comes from SAMBASTUDIO_API_KEY or TOKENSWARM_API_KEY.

    locust -f locustfiles/sambastudio.py --headless --levels 1,2,4 --tokenizer FOLDER \
        --host https://HOST/api/v2/predict/generic/PROJECT/ENDPOINT

The address is the endpoint's as the platform shows it, and tells its flavour: generic v1, generic v2, or
OpenAI-style (https://HOST/v1/PROJECT/ENDPOINT, with --model). `--stream no` asks for whole answers.
`--header 'ss-sn-options: disable-dynamic-batch'` keeps the server from batching requests.

In a composition of experts (CoE, bundle) the model is one of them: `--model COE/Meta-Llama-3-8B-Instruct`.
locustfiles/sambastudio_experts.py asks for several at once.
"""

from locust import task

from harness.users import LLMUser


class SambaStudio(LLMUser):
    """Asks for text of the configured sizes."""

    backend = "sambastudio"

    @task
    def generate(self) -> None:
        """One request; the next follows when it is done."""
        self.ask()
