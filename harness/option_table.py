"""The options we add to Locust's, as the command line, the environment and the web form show them.

`harness.options` says what their values must be.
"""

from typing import Final

from harness.distributions import FORMS

__all__ = ["FLAGS", "OPTIONS", "REPEATABLE", "variable"]

# name, default, in the web form, help
OPTIONS: Final[tuple[tuple[str, str, bool, str], ...]] = (
    ("model", "", True, "Model id to ask for. Default: the one the server offers"),
    (
        "api-mode",
        "",
        True,
        "Which of the backend's APIs, e.g. chat or native (docs/backends.md). Default: its first",
    ),
    ("tokenizer", "", True, "Sizes prompts: a folder or a hub id. Default: the server's own, if it has one"),
    ("prompt-tokens", "", True, f"Prompt size: {FORMS}. Default: the user class's, else 550"),
    ("output-tokens", "", True, "Output size, same forms. Default: the user class's, else 150"),
    ("levels", "", False, "Sweep over these numbers of users, e.g. 1,2,4,8 (instead of -u, -r and -t)"),
    (
        "requests-per-level",
        "",
        False,
        "Measured requests at each level, or Nx: N per user, e.g. 1x. Default: 5x",
    ),
    ("repeats", "1", False, "How often to go through all levels"),
    ("warmup", "0", True, "Requests per user at the start of each level that are sent but not measured"),
    ("seed", "1", True, "Seed of sizes and prompts: the same seed sends the same requests"),
    ("run-name", "", True, "A name for the run; part of its directory's name"),
    ("label", "", False, "k=v, kept with the results (repeatable)"),
    ("results-dir", "results", False, "Where run directories are made"),
    ("exact-output", "auto", True, "Make the server go on to the asked length (ignore_eos): auto, yes or no"),
    ("extra-body", "", True, 'JSON object laid over every request\'s body, e.g. {"temperature": 0.7}'),
    ("stream", "auto", True, "Ask for streamed answers: auto (where the backend can), yes or no"),
    (
        "backend-option",
        "",
        False,
        "k=v, what this server does differently (repeatable; docs/backends.md lists them)",
    ),
    ("header", "", False, "'Name: value', sent with every request (repeatable); keys do not belong here"),
    ("prompt-ids", "", False, "Prompts of random token ids from a range, e.g. 1000-30000, not of words"),
    (
        "cache-salt",
        "off",
        True,
        "Keep the server's prefix cache apart (vLLM), for each run or request: off, run or request",
    ),
    (
        "drop-answers-under",
        "",
        False,
        "Leave answers of fewer tokens out of the statistics. Default: keep all",
    ),
    ("retry-after", "yes", False, "A user refused with Retry-After rests that long (up to 60 s): yes or no"),
    ("connect-timeout", "10", False, "Seconds to open a connection"),
    ("first-token-timeout", "300", False, "Seconds from sending a request to its first token"),
    ("idle-timeout", "60", False, "Seconds without a byte in mid-stream"),
    ("total-timeout", "900", False, "Seconds for a whole request"),
    (
        "preflight",
        "yes",
        False,
        "Ask for models and limits and send one trial request before load: yes or no",
    ),
    (
        "ready-timeout",
        "",
        False,
        "Seconds to wait for a server that is not up or is loading. Default: 120 if loading",
    ),
    ("server-metrics", "auto", False, "Poll the server's Prometheus /metrics during load: auto or no"),
    (
        "serve",
        "",
        False,
        "Start the server first, and stop it afterwards: 'llamacpp --slots 8', or any command",
    ),
    ("ca-file", "", False, "PEM file of the CA that signed the server's certificate. Default: the system's"),
    ("insecure", "", False, "Do not verify the server's certificate"),
    (
        "slo",
        "",
        False,
        "A service level, e.g. 'ttft_p95<2s' or 'error_rate<1%' (repeatable; docs/metrics.md); a miss exits with 3",
    ),
    ("require-valid", "", False, "Exit with 4 if the verdict is invalid"),
)
FLAGS: Final = ("insecure", "require-valid")  # given or not, without a value
REPEATABLE: Final = ("label", "backend-option", "header", "slo")


def variable(name: str) -> str:
    """The environment variable of an option."""
    return "TOKENSWARM_" + name.upper().replace("-", "_")
