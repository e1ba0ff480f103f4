"""One run's settings: the options' values, checked and frozen. `harness.options` reads them; everybody else only has them."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any, Final

from harness import export
from harness.content_options import Content
from harness.distributions import Distribution
from harness.exchange import Timeouts
from harness.load_options import LoadModel
from harness.proxy import Proxy
from harness.slo import Slos
from harness.target import Target
from harness.tls import Trust
from harness.wording import Wording

__all__ = ["TIMEOUTS", "Settings"]

TIMEOUTS: Final = (
    "connect_timeout",
    "first_token_timeout",
    "idle_timeout",
    "total_timeout",
)  # as in `Timeouts`
_AS_THEY_ARE: Final = (
    *("api_mode", "model", "tokenizer", "requests_per_level", "requests_per_user", "repeats"),
    *("warmup", "seed", "run_name", "exact_output"),
    *("users", "spawn_rate", "run_time_s", "require_valid", "insecure"),
    *("drop_answers_under", "retry_after", "server_metrics"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """One run's. What an option means is in docs/options.md."""

    target: Target
    api_mode: str | None
    model: str | None
    tokenizer: str | None
    prompt_sizes: Distribution | None  # None: the user class's own
    output_sizes: Distribution | None
    levels: tuple[int, ...]  # empty: Locust's own -u
    requests_per_level: int | None
    requests_per_user: int | None  # instead: the level's size times this
    repeats: int
    warmup: int  # requests per user at the start of each level
    seed: int
    run_name: str | None
    labels: Mapping[str, str]
    results_dir: Path
    timeouts: Timeouts
    exact_output: bool | None  # None: where the server is known to support it
    extra_body: Mapping[str, Any]
    preflight: bool
    users: int | None = None  # Locust's own -u, -r and -t, for the record
    spawn_rate: float | None = None
    run_time_s: int | None = None
    require_valid: bool = False
    ca_file: Path | None = None  # trusted instead of the system's authorities
    insecure: bool = False  # certificates are not verified
    wording: Wording = field(default_factory=Wording)
    drop_answers_under: int | None = None  # tokens; shorter answers are in no statistic
    retry_after: bool = True
    ready_timeout_s: float | None = None  # None: wait only for one that says it is loading
    server_metrics: bool = True
    serve: str | None = None
    slos: Slos = ()
    proxy: Proxy | None = None  # that the environment names for this target
    load: LoadModel = field(default_factory=LoadModel)
    content: Content = field(default_factory=Content)
    given: Mapping[str, Any] = field(default_factory=dict)  # options as they came, for the record
    outlets: export.Outlets = field(
        default_factory=export.Outlets
    )  # not stored: they change nothing of the run

    @property
    def trust(self) -> Trust:
        """Whose certificates are accepted."""
        return Trust(self.ca_file, insecure=self.insecure)

    def stored(self) -> dict[str, Any]:
        """The settings as `run.json` keeps them. There is no secret among them to leave out."""
        return {name: getattr(self, name) for name in _AS_THEY_ARE} | {
            "host": str(self.target),
            "prompt_tokens": self.prompt_sizes and self.prompt_sizes.describe(),
            "output_tokens": self.output_sizes and self.output_sizes.describe(),
            "levels": list(self.levels),
            "labels": dict(self.labels),
            "extra_body": dict(self.extra_body),
            "slo": [one.describe() for one in self.slos],
            **self.wording.stored(),
            **self.load.stored(),
            **self.content.stored(),
            "ca_file": self.ca_file and str(self.ca_file),
            "proxy": self.proxy and self.proxy.authority,
            **{f"{name}_s": limit for name, limit in zip(TIMEOUTS, astuple(self.timeouts), strict=True)},
        }
