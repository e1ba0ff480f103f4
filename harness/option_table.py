"""The options we add to Locust's, as the command line, the environment and the web form show them.

`harness.options` says what their values must be.
"""

from typing import Final

from harness import export, slo_presets
from harness.distributions import FORMS

__all__ = ["FLAGS", "OPTIONS", "REPEATABLE", "variable"]

_SLO: Final = (
    "A service level, e.g. 'ttft_p95<2s' or 'error_rate<1%' (repeatable; docs/metrics.md), or those of an MLPerf "
    f"benchmark: {', '.join(slo_presets.names())}; a miss exits with 3"
)

# name, default, in the web form (`harness.web.form_fields`), help
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
    ("levels", "", True, "Sweep over these numbers of users, e.g. 1,2,4,8 (instead of -u, -r and -t)"),
    (
        "requests-per-level",
        "",
        True,
        "Measured requests at each level, or Nx: N per user, e.g. 1x. Default: 5x",
    ),
    (
        "seconds-per-level",
        "",
        True,
        "Hold each level so long, e.g. 60s, instead of a number of requests. Default with --rates: 60s",
    ),
    ("repeats", "1", True, "How often to go through all levels"),
    (
        "warmup",
        "0",
        True,
        "At the start of each level, sent but not measured: requests per user, a time such as 30s, or auto (until it is steady)",
    ),
    (
        "search",
        "",
        True,
        "Find the highest load that meets the --slo's, in few steps: concurrency:1-256, rate:1-100 or rate:1-100,2%",
    ),
    ("stop-when-saturated", "", True, "End a sweep over load when more of it no longer gives more"),
    ("cooldown", "", True, "At the end of each timed level, sent but not measured: a time such as 10s"),
    (
        "refill",
        "steady",
        True,
        "steady: a user's next request when its last is done; waves: all users at once, all awaited (--repeats waves)",
    ),
    (
        "arrivals",
        "",
        True,
        "Open loop, requests/s: constant:10, poisson:10, gamma:10,0.5, ramp:1,20,60s, steps:5@30s,10@30s, trace:FILE",
    ),
    (
        "rates",
        "",
        True,
        "Sweep over these rates of arrivals, e.g. 1,2,4; --arrivals then names the process alone (poisson)",
    ),
    (
        "max-concurrency",
        "",
        True,
        "Open loop: at most so many requests in flight; others wait, and their wait is measured",
    ),
    ("speed-up", "1", True, "Replay a trace so many times as fast"),
    (
        "prompt-levels",
        "",
        True,
        "Sweep over these prompt sizes, e.g. 128,1024,8192, with -u users or --arrivals",
    ),
    (
        "output-levels",
        "",
        True,
        "Sweep over these output sizes, e.g. 16,128,1024, with -u users or --arrivals",
    ),
    (
        "lengths",
        "",
        False,
        "Prompt and output lengths that belong together: a CSV or JSONL file of pairs, or a trace",
    ),
    (
        "mix",
        "",
        True,
        "Kinds of requests with weights, 'chat:70 prompt=lognormal:300,150 output=150' (repeatable; docs/load-models.md)",
    ),
    (
        "text",
        "en",
        True,
        "What prompts are made of: en, pt, zh, code, or numbers (Maritaca's, the same for all requests)",
    ),
    (
        "dataset",
        "",
        False,
        "Prompts or conversations from a file: JSONL, ShareGPT JSON, or text with one prompt a line",
    ),
    ("dataset-order", "file", False, "In which order: file or shuffled"),
    (
        "template",
        "",
        False,
        "A file with text around each prompt: {prompt}; several separated by a line of ---",
    ),
    (
        "shared-prefix",
        "",
        True,
        "Begin each prompt with one of N shared texts of so many tokens, e.g. 4x1000",
    ),
    (
        "bust-cache",
        "no",
        False,
        "Begin each prompt of a dataset with words of its own, so that no prefix cache knows it: yes or no",
    ),
    (
        "turns",
        "",
        True,
        "Chats: turns of a session, e.g. 4 or uniform:2,6; each request carries the history. Default: 1",
    ),
    (
        "turn-tokens",
        "",
        True,
        "Chats: size of a user's later turns, same forms as --prompt-tokens. Default: that of the first",
    ),
    (
        "think-time",
        "0s",
        True,
        "Chats: seconds between an answer and the next turn, e.g. 2s, uniform:1s,3s, exponential:2s",
    ),
    ("seed", "1", True, "Seed of sizes and prompts: the same seed sends the same requests"),
    ("run-name", "", True, "A name for the run; part of its directory's name"),
    ("label", "", True, "k=v, kept with the results (repeatable)"),
    ("results-dir", "results", False, "Where run directories are made"),
    ("exact-output", "auto", True, "Make the server go on to the asked length (ignore_eos): auto, yes or no"),
    ("extra-body", "", True, 'JSON object laid over every request\'s body, e.g. {"temperature": 0.7}'),
    ("stream", "auto", True, "Ask for streamed answers: auto (where the backend can), yes or no"),
    (
        "backend-option",
        "",
        True,
        "k=v, what this server does differently (repeatable; docs/backends.md lists them)",
    ),
    ("header", "", False, "'Name: value', sent with every request (repeatable); keys do not belong here"),
    ("prompt-ids", "", True, "Prompts of random token ids from a range, e.g. 1000-30000, not of words"),
    (
        "cache-salt",
        "off",
        True,
        "Keep the server's prefix cache apart (vLLM), for each run or request: off, run or request",
    ),
    (
        "drop-answers-under",
        "",
        True,
        "Leave answers of fewer tokens out of the statistics. Default: keep all",
    ),
    ("retry-after", "yes", True, "A user refused with Retry-After rests that long (up to 60 s): yes or no"),
    ("connect-timeout", "10", True, "Seconds to open a connection"),
    ("first-token-timeout", "300", True, "Seconds from sending a request to its first token"),
    ("idle-timeout", "60", True, "Seconds without a byte in mid-stream"),
    ("total-timeout", "900", True, "Seconds for a whole request"),
    (
        "preflight",
        "yes",
        True,
        "Ask for models and limits and send one trial request before load: yes or no",
    ),
    (
        "ready-timeout",
        "",
        True,
        "Seconds to wait for a server that is not up or is loading. Default: 120 if loading",
    ),
    ("server-metrics", "auto", True, "Poll the server's Prometheus /metrics during load: auto or no"),
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
        True,
        _SLO,
    ),
    (
        "export",
        "",
        True,
        f"At the end, also write files that other tools' notebooks read: {', '.join(export.NAMES)}, or several with commas",
    ),
    ("junit", "", False, "At the end, also write verdict and service levels as JUnit XML, e.g. junit.xml"),
    ("max-requests", "", True, "End the run when exactly so many requests have been sent, over all workers"),
    ("max-time", "", True, "End the run after so long, e.g. 10m"),
    ("max-tokens", "", True, "End the run at so many tokens, prompts and answers together"),
    ("max-cost", "", True, "End the run at this cost; needs --price-in and --price-out"),
    ("price-in", "", True, "Price of a million prompt tokens, e.g. 0.5"),
    ("price-out", "", True, "Price of a million output tokens, e.g. 1.5"),
    ("max-error-rate", "", True, "End the run when clearly more of its recent requests fail, e.g. 5%"),
    ("probe-every", "", True, "Beside the load, send a small request this often, reported apart, e.g. 2s"),
    ("probe-tokens", "", True, "Prompt and output tokens of these, e.g. 64/8. Default: 32/16"),
    ("require-valid", "", False, "Exit with 4 if the verdict is invalid"),
)
FLAGS: Final = ("insecure", "require-valid", "stop-when-saturated")  # given or not, without a value
REPEATABLE: Final = ("label", "backend-option", "header", "slo", "mix")


def variable(name: str) -> str:
    """The environment variable of an option."""
    return "TOKENSWARM_" + name.upper().replace("-", "_")
