"""Every system's page in one vocabulary, and what it says beside our own counts."""

import time
from dataclasses import asdict, replace
from pathlib import Path

import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import BASE_NS, record

from harness import rows
from harness.journal import Window
from harness.reconcile import account, findings
from harness.record import Outcome, RequestRecord, TokenSource
from harness.report.server import agreement, line, pairs
from harness.server_metrics import COUNTERS, GAUGES, Sample, of_csv, of_json, read, text

FIXTURES = Path(__file__).parent / "fixtures"
SECOND = 1_000_000_000

# queued, running, KV; prompt, generated, hits, queries, preemptions, requests
PAGES = {
    "vllm": ("vLLM", (3, 12, 0.4375), (8_129_000, 7_557_600, 3_000, 12_000, 2, 100)),
    "vllm_0_8": ("vLLM", (1, 4, 0.125), (9_000, 2_500, None, None, None, None)),
    "tgi": ("TGI", (6, 4, None), (11_550, 3_000, None, None, None, 20)),
    "llamacpp": ("llama.cpp", (12, 4, None), (6_600, 1_234_570, 1_100, 6_600, None, None)),
    "llamacpp_2024": ("llama.cpp", (0, 1, 0.375), (5_500, 1_500, None, None, None, None)),
    "sglang": ("SGLang", (28, 15, 0.5), (8_128_902, 7_557_572, 5_000, 8_128_902, 3, 700)),
}


def page(name: str) -> bytes:
    """A page of tests/fixtures."""
    return (FIXTURES / f"metrics_{name}.txt").read_bytes()


def at(seconds: float) -> int:
    """Unix ns."""
    return BASE_NS + round(seconds * SECOND)


@pytest.mark.parametrize("name", PAGES)
def test_each_systems_page_in_one_vocabulary(name: str) -> None:
    """Engines are added up, of the KV cache the fullest counts; what is not published is not there."""
    system, gauges, counters = PAGES[name]
    expected = dict(zip((*GAUGES, *COUNTERS), (*gauges, *counters), strict=True))
    assert read(page(name)) == (
        system,
        {name: value for name, value in expected.items() if value is not None},
    )


@pytest.mark.parametrize("name", ["vllm", "llamacpp", "sglang"])
def test_names_whose_colon_became_an_underscore(name: str) -> None:
    """As Prometheus' own relays write them."""
    mark = {"vllm": b"vllm", "llamacpp": b"llamacpp", "sglang": b"sglang"}[name]
    assert read(page(name).replace(mark + b":", mark + b"_")) == read(page(name))


def test_a_page_with_names_but_no_values_yet() -> None:
    """SGLang publishes a counter from its first increment on; its name tells whose page it is."""
    assert read(b"# HELP sglang:prompt_tokens_total x\n# TYPE sglang:prompt_tokens_total counter\n") == (
        "SGLang",
        {},
    )
    assert read(b"") == (None, {})
    assert read(b"# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 12\n") == (None, {})


@pytest.mark.parametrize(
    ("line_", "queued"),
    [
        (b"vllm:num_requests_waiting 3", 3.0),
        (b"vllm:num_requests_waiting 3 1759942800000", 3.0),
        (b'vllm:num_requests_waiting{m="a b} 9 \\" {"} 3.0\r', 3.0),
        (b"vllm:num_requests_waiting{} 3e0", 3.0),
        (b'vllm:num_requests_waiting{m="x"} 3 # {trace_id="1"} 7', 3.0),
        (b"vllm:num_requests_waiting NaN", None),
        (b"vllm:num_requests_waiting +Inf", None),
        (b"vllm:num_requests_waiting -1", None),
        (b"vllm:num_requests_waiting", None),
        (b'vllm:num_requests_waiting{m="x', None),
        (b"vllm:num_requests_waiting three", None),
        (b"vllm:num_requests_waiting_by_reason 3", None),
    ],
)
def test_lines_of_every_shape(line_: bytes, queued: float | None) -> None:
    """Labels may hold anything; what is no finite figure is not measured, never 0."""
    found = read(b"vllm:num_requests_running 1\n" + line_ + b"\n")[1]
    assert found == {"running": 1.0} | ({} if queued is None else {"queued": queued})


@given(st.binary(max_size=200))
def test_no_page_makes_it_fail(noise: bytes) -> None:
    """Whatever stands on a wanted line."""
    read(b"vllm:prompt_tokens_total" + noise + b"\nvllm:kv_cache_usage_perc{" + noise)


def big_page(engines: int) -> bytes:
    """A vLLM page with all of its histograms, some 37 kB an engine."""
    lines = page("vllm").splitlines()[:-4]
    for name in (f"vllm:a_histogram_of_some_length_{i}_seconds" for i in range(15)):
        for engine in range(engines):
            labels = f'engine="{engine}",model_name="meta-llama/Llama-3.1-8B-Instruct"'
            lines += [f'{name}_bucket{{le="{le / 8}",{labels}}} {le * 100}.0'.encode() for le in range(21)]
            lines += [f"{name}_{part}{{{labels}}} 2200.0".encode() for part in ("count", "sum")]
    return b"\n".join(lines) + b"\n"


def test_a_page_of_200_kb_costs_little() -> None:
    """Under 2 ms CPU, also on a busy machine; about 0.5 ms on a quiet one."""
    whole = big_page(5)
    assert len(whole) > 190_000
    best = float("inf")
    for _ in range(20):
        begin = time.thread_time()
        found = read(whole)
        best = min(best, time.thread_time() - begin)
    assert found == read(page("vllm"))
    assert best < 0.002


FULL = Sample(
    time_ns=at(1), system="vLLM", queued=3.0, running=12.0, kv_cache_usage=0.4375, prompt_tokens_total=8_129_000.0,
    generated_tokens_total=7_557_600.0, prefix_cache_hits_total=3e3, prefix_cache_queries_total=12e3,
    preemptions_total=2.0, requests_total=100.0,
)  # fmt: skip
GAP = Sample(time_ns=at(0), problem='said "no", twice')


def test_samples_survive_the_journal_and_the_file() -> None:
    """In order of time; nothing becomes 0, large counts keep all their digits."""
    assert [of_json(orjson.loads(orjson.dumps(asdict(one)))) for one in (FULL, GAP)] == [FULL, GAP]
    written = text([FULL, GAP])
    assert of_csv(written.splitlines()) == [GAP, FULL]
    assert written.splitlines()[2] == (f"{at(1)},,vLLM,3,12,0.4375,8129000,7557600,3000,12000,2,100")
    with pytest.raises(ValueError, match="three"):
        of_csv(["time_ns,queued", "1,three"])
    with pytest.raises(ValueError, match="time_ns"):
        of_csv(["queued", "1"])


def table(tmp_path: Path, *records: RequestRecord) -> pd.DataFrame:
    """As requests.parquet gives it."""
    rows.write(tmp_path / "requests.parquet", records)
    return rows.load(tmp_path / "requests.parquet")


def asked(name: str, **fields: object) -> RequestRecord:
    """A request of 100 prompt and 50 output tokens, from second 1 to second 3."""
    plain = {"sent_ns": at(1), "end_ns": at(3), "prompt_tokens": 100, "output_tokens": 50, "cached_tokens": 0}
    return record(name, **(plain | fields))


def looked(seconds: float, prompt: float | None, output: float | None, **fields: object) -> Sample:
    """A look at a vLLM."""
    plain = {"system": "vLLM", "prompt_tokens_total": prompt, "generated_tokens_total": output}
    return Sample(**{"time_ns": at(seconds), **plain, **fields})


def output(tmp_path: Path, grew: float, *records: RequestRecord, **fields: object) -> dict[str, object]:
    """The account of output tokens of a run by whose end the server had counted `grew`."""
    prompts = 100 * len(records)
    made = account(
        [looked(0, 7, 1_000, **fields), looked(4, 7 + prompts, 1_000 + grew, **fields)],
        table(tmp_path, *records),
    )
    assert made is not None
    return made


TEN = [asked(f"r{i}") for i in range(10)]
CANCELLED = asked("c", outcome=Outcome.CANCELLED, output_tokens=30)
GUESSED = asked("g", output_tokens=90, token_source=TokenSource.ESTIMATED)
UNCOUNTED = asked("u", outcome=Outcome.FAILED, output_tokens=None)


@pytest.mark.parametrize(
    ("records", "grew", "result", "said"),
    [
        (TEN, 500, "equal", "vLLM counted 500, this client 500, the same"),
        (TEN, 505, "equal", "vLLM counted 505, this client 500, 1 % apart"),
        (TEN, 490, "equal", "vLLM counted 490, this client 500, 2 % apart"),
        (TEN, 511, "more", "vLLM counted 511, this client 500, 2.2 % more: of other clients, or of requests that were given up"),
        (TEN, 489, "less", "vLLM counted 489, this client 500, 2.2 % less: one of the two is wrong"),
        (TEN, 0, "less", "vLLM counted 0, this client 500, 100 % less: one of the two is wrong"),
        ([*TEN, CANCELLED], 500, "unfinished",
         "vLLM counted 500, this client 530, 5.7 % less: it leaves out requests that came to no end (30 of ours)"),
        ([*TEN, CANCELLED], 480, "less", "vLLM counted 480, this client 530, 9.4 % less: one of the two is wrong"),
        ([*TEN, UNCOUNTED], 520, "more",
         ("vLLM counted 520, this client 500, 4 % more: of other clients, or of requests that were given up; "
          "1 request has no count here")),
        ([*TEN, GUESSED], 510, "less",
         ("vLLM counted 510, this client 590, 14 % less: one of the two is wrong; for 1 of our requests the tokens were "
          "counted here")),
        ([asked(f"r{i}", output_tokens=8) for i in range(10)], 70, "edge",
         "vLLM counted 70, this client 80, 12 % less: at most one token a request"),
    ],
)  # fmt: skip
def test_two_counts_of_the_same_tokens(
    tmp_path: Path, records: list[RequestRecord], grew: int, result: str, said: str
) -> None:
    """Only where the server has less than the requests that came to their end account for, there is a doubt."""
    server = output(tmp_path, grew, *records)
    assert (server["output_tokens"]["result"], agreement(server, "output_tokens")) == (result, said)
    assert (server["prompt_tokens"]["result"], server["grown"]["generated_tokens"]) == ("equal", grew)
    assert [status for status, _ in findings(server)] == (["suspect"] if result == "less" else [])


def test_the_doubt_has_both_numbers_and_where_to_look(tmp_path: Path) -> None:
    """One line for the verdict."""
    assert list(findings(output(tmp_path, 400, *TEN))) == [
        (
            "suspect",
            (
                "vLLM itself counted 400 output tokens during this run, where its answers to us add up to 500: what is "
                "computed from them is in doubt; is its /metrics that of another server, or of one of several behind this "
                "address?"
            ),
        )
    ]
    assert list(findings(None)) == []


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([looked(0, 0, 0), looked(2, 90, 90), looked(4, 10, 10)],
         "its counter went back during the run: it was restarted, or there are several behind this address"),
        ([looked(0, 500, 500), looked(2, None, None), looked(4, 1000, 1000)],
         "its counter went back during the run: it was restarted, or there are several behind this address"),
        ([looked(2, 0, 0), looked(4, 1000, 500)], "its metrics were not seen before the first request"),
        ([looked(0, 0, 0), looked(2, 1000, 500), Sample(time_ns=at(4), problem="x")],
         "its metrics were not seen after the last request"),
        ([looked(0, None, None), looked(4, None, None)], "it does not publish this count"),
        ([Sample(time_ns=at(0), problem="x")], "it does not publish this count"),
    ],
)  # fmt: skip
def test_nothing_is_compared_where_an_end_is_missing(tmp_path: Path, samples: list[Sample], why: str) -> None:
    """Restarts, gaps at the ends, servers that do not count: null, with the reason, and no doubt."""
    server = account(samples, table(tmp_path, *TEN))
    assert server is not None
    for what in ("output_tokens", "prompt_tokens"):
        one = server[what]
        assert (one["server"], one["ratio"], one["result"], one["why"]) == (None, None, None, why)
        assert (
            agreement(server, what)
            == f"not compared with {server['system'] or 'the server'}'s own count, {why}"
        )
    assert list(findings(server)) == []
    assert set(server["grown"].values()) == {None}


def test_a_counter_that_comes_with_the_first_request_began_at_0(tmp_path: Path) -> None:
    """A fresh TGI's page is empty, and a fresh SGLang's has no counters."""
    fresh = Sample(time_ns=at(0))
    server = account([fresh, looked(4, 1_000, 500, system="TGI")], table(tmp_path, *TEN))
    assert server is not None
    assert [server[what]["result"] for what in ("output_tokens", "prompt_tokens")] == ["equal", "equal"]
    assert server["system"] == "TGI"


def test_llamacpp_rounds_to_six_digits(tmp_path: Path) -> None:
    """From a million on the two ends may be off by half a digit each; that is no disagreement."""
    fields = {"system": "llama.cpp", "prefix_cache_hits_total": 0.0}
    ends = [looked(0, 0, 98_765_400, **fields), looked(4, 1_000, 98_765_900, **fields)]
    server = account(ends, table(tmp_path, *[asked(f"r{i}", output_tokens=59) for i in range(10)]))
    assert server is not None
    assert (server["output_tokens"]["rounding"], server["output_tokens"]["result"]) == (100, "equal")
    assert agreement(server, "output_tokens") == (
        "llama.cpp counted 500, this client 590, 15 % apart, llama.cpp rounds by up to 100"
    )
    exact = account([replace(end, system="vLLM") for end in ends], table(tmp_path, *TEN))
    assert exact is not None
    assert exact["output_tokens"]["rounding"] == 0


@pytest.mark.parametrize(
    ("hits", "prompt", "result"), [(None, 900, "equal"), (None, 1_000, "more"), (100.0, 1_000, "equal")]
)
def test_old_llamacpp_leaves_cached_prompt_tokens_out(
    tmp_path: Path, hits: float | None, prompt: int, result: str
) -> None:
    """Then ours are left out too; where it counts them, all are compared."""
    first = looked(0, 0, 0, system="llama.cpp", prefix_cache_hits_total=hits and 0.0)
    last = looked(4, prompt, 500, system="llama.cpp", prefix_cache_hits_total=hits)
    server = account([first, last], table(tmp_path, *[asked(f"r{i}", cached_tokens=10) for i in range(10)]))
    assert server is not None
    assert server["prompt_tokens"]["result"] == result


def test_figures_over_the_run_and_by_level(tmp_path: Path) -> None:
    """Gauges while requests were under way, and in each level's windows; gaps are counted and are nobody's 0."""
    hits = {"prefix_cache_hits_total": 10.0, "prefix_cache_queries_total": 100.0}
    samples = [
        looked(0, 0, 0, queued=9.0, running=9.0, prefix_cache_hits_total=0.0, prefix_cache_queries_total=0.0),
        looked(1.5, 100, 100, queued=1.0, running=2.0, kv_cache_usage=0.25, **hits),
        Sample(time_ns=at(2), problem="did not answer in 2 s"),
        looked(2.5, 900, 400, queued=4.0, running=4.0, kv_cache_usage=0.75, **hits),
        looked(4, 1_000, 500, queued=0.0, running=0.0, **hits | {"prefix_cache_hits_total": 25.0}),
    ]
    server = account(samples, table(tmp_path, *TEN), [Window(1, 1, at(1), at(2)), Window(2, 1, at(2), at(3))])
    assert server is not None
    assert (server["polls"], server["gaps"], server["seconds"]) == (5, 1, 4.0)
    assert server["queued"] == {"mean": 2.5, "max": 4.0, "n": 2}
    assert server["kv_cache_usage"] == {"mean": 0.5, "max": 0.75, "n": 2}
    assert [(one["level"], one["running"]["max"]) for one in server["levels"]] == [(1, 2.0), (2, 4.0)]
    assert server["prefix_cache_hit_rate"] == 0.25
    assert server["timeline"] == {
        "at_s": [0.0, 2.0, 4.0],
        "queued": [9.0, 4.0, 0.0],
        "running": [9.0, 4.0, 0.0],
        "kv_cache_usage": [None, 0.75, None],
    }
    assert line(server) == (
        "vLLM, 5 looks, 1 of them without an answer, queue 4 at most, running 4 at most, KV cache in use 75 % at most; "
        "output tokens: vLLM counted 500, this client 500, the same"
    )
    assert pairs(server) == [
        ("whose", "vLLM, 5 looks, 1 of them without an answer"),
        ("queue", "mean 2.5, most 4"),
        ("running", "mean 3, most 4"),
        ("KV cache in use", "mean 50 %, most 75 %"),
        ("prompt tokens from its cache", "25"),
        ("prompt tokens found in its cache", "25 %"),
        ("output tokens", "vLLM counted 500, this client 500, the same"),
        ("prompt tokens", "vLLM counted 1,000, this client 1,000, the same"),
    ]


def test_nothing_was_seen_nothing_is_said(tmp_path: Path) -> None:
    """A server without metrics has no section, and no zeros."""
    assert account([], table(tmp_path, *TEN)) is None
    assert (line(None), pairs(None)) == (None, [])
    empty = account([looked(0, 0, 0), looked(1, 0, 0)], table(tmp_path))
    assert empty is not None
    assert (empty["queued"], empty["output_tokens"]["why"]) == (
        {"mean": None, "max": None, "n": 0},
        "no request was sent",
    )
