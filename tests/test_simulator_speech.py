"""What holds for every name of `--speak`, and the parts that they share: routes, keys, metrics pages."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.simulator import keys
from harness.simulator.batching import Sequence
from harness.simulator.dialect import Call, Dialect, refused
from harness.simulator.fields import Refusal
from harness.simulator.speech import SPEECHES
from harness.simulator.tally import Histogram, Tally, label, page
from harness.simulator.wire import Request

EVERY = [(name, dialect) for name, speech in SPEECHES.items() for dialect in speech.dialects]
NAMES = [f"{name}:{next(iter(dialect.routes))[1]}" for name, dialect in EVERY]


def request(method: str, path: str) -> Request:
    """A request without anything in it."""
    return Request(method=method, path=path, query={}, headers={}, minor=1)


def test_names():
    """What a user can ask for."""
    assert set(SPEECHES) == {
        *("openai", "llamacpp", "llamacpp-2025", "vllm", "vllm-metrics", "tgi"),
        *("maritalk", "maritalk-2023", "maritaca", "sambastudio", "sambanova"),
    }


@pytest.mark.parametrize(("name", "dialect"), EVERY, ids=NAMES)
def test_errors_are_worded(name: str, dialect: Dialect):
    """Every error has a body in JSON that says it, but TGI's 401; in a stream it is whole events or lines."""
    for status in (400, 401, 404, 422, 429, 500, 503, 504):
        answer = refused(dialect, Refusal(status, "the words"))
        if status == 401:
            assert (answer.body == b"") == (name == "tgi")
        else:
            assert "the words" in json.dumps(json.loads(answer.body))
        assert answer.status == (422 if (name, status) == ("tgi", 400) else status)
    in_stream = dialect.stream_error(Refusal(500, "the words"))
    assert b"the words" in in_stream
    assert in_stream.endswith(b"\n") or name.startswith("maritalk")


@pytest.mark.parametrize(("name", "dialect"), EVERY, ids=NAMES)
def test_overload_is_no_success(name: str, dialect: Dialect):
    """It has a status of its own, and only TGI's may come inside a stream."""
    wanted = {"tgi": 429, "maritaca": 429, "sambanova": 504}.get(name, 503)
    assert dialect.overload().status == wanted
    assert dialect.overload_in_stream == (name == "tgi")
    assert dialect.permits == (128 if name == "tgi" else None)


@pytest.mark.parametrize(("name", "dialect"), EVERY, ids=NAMES)
def test_fillers_have_no_text(name: str, dialect: Dialect):
    """Chunks that are no tokens hold nothing that could be taken for one."""
    for kind in ("role", "empty", "usage"):
        data = dialect.filler(kind)
        for line in data.decode().splitlines():
            if line and not line.startswith("event: "):
                assert texts(json.loads(line.removeprefix("data:"))) <= {""}, (name, kind)


def texts(value: Any) -> set[str]:
    """Every string that stands where a token's text does."""
    if isinstance(value, list):
        return set().union(*map(texts, value))
    if not isinstance(value, dict):
        return set()
    own = {
        v for k, v in value.items() if k in {"content", "text", "delta", "stream_token"} and type(v) is str
    }
    return own.union(*(texts(v) for v in value.values()))


def test_no_route_is_hidden():
    """Within a speech no two dialects claim the same route."""
    for speech in SPEECHES.values():
        claimed = [route for dialect in speech.dialects for route in dialect.routes]
        assert len(claimed) == len(set(claimed))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/predict/generic/p/e", True),
        ("/api/predict/generic/stream/p/e", True),
        ("/api/predict/generic/p", False),
        ("/api/predict/generic/p/", False),
        ("/api/predict/generic/p/e/", False),
        ("/api/predict/nlp/p/e", False),
    ],
)
def test_variable_segments(path: str, found: bool):
    """Each stands for one part of the path that is not empty."""
    dialect, _ = SPEECHES["sambastudio"].find(request("POST", path))
    known = any(route[1].startswith("/api/predict") for route in dialect.routes)
    _, handler = SPEECHES["sambastudio"].find(request("POST", path))
    assert known
    assert (getattr(handler, "func", handler).__name__ == "predict") == found


def test_another_method():
    """A path that is there for another method is a 405 that names it."""
    _, handler = SPEECHES["vllm"].find(request("GET", "/v1/completions"))
    with pytest.raises(Refusal, match="/v1/completions takes POST, not GET") as raised:
        handler(Call(request("GET", "/v1/completions"), "r1", 0.0), None)  # type: ignore[arg-type]
    assert (raised.value.status, raised.value.headers) == (405, (("Allow", "POST"),))


@pytest.mark.parametrize(
    ("authorise", "headers", "good"),
    [
        (keys.bearer, {"authorization": "Bearer k"}, True),
        (keys.bearer, {"authorization": "bearer  k"}, True),
        (keys.bearer, {"x-api-key": "k"}, True),
        (keys.only_bearer, {"x-api-key": "k"}, False),
        (keys.only_bearer, {"authorization": "Key k"}, False),
        (keys.key_or_bearer, {"authorization": "Key k"}, True),
        (keys.key_or_bearer, {"authorization": "k"}, False),
        (keys.key_header, {"key": "k"}, True),
        (keys.key_header, {"authorization": "Bearer k"}, False),
        (keys.key_header, {}, False),
        (keys.no_key, {}, True),
    ],
)
def test_keys(authorise: Callable[[Mapping[str, str], str], None], headers: dict[str, str], good: bool):
    """Each way to send a key opens only where it is the way."""
    if good:
        authorise(headers, "k")
        return
    with pytest.raises(Refusal) as raised:
        authorise(headers, "k")
    assert raised.value.status == 401


@given(st.lists(st.floats(0, 200), max_size=50))
def test_histogram(values: list[float]):
    """Buckets are cumulative, each with what is not above its bound, and the last one has all."""
    histogram = Histogram((1.0, 10.0, 100.0))
    for value in values:
        histogram.add(value)
    wanted = [sum(v <= bound for v in values) for bound in (1.0, 10.0, 100.0)]
    assert list(histogram.buckets()) == [*zip(("1", "10", "100"), wanted, strict=True), ("+Inf", len(values))]
    assert histogram.sum == pytest.approx(sum(values))


def test_page():
    """Prometheus' text: help, type, samples; labels escaped."""
    histogram = Histogram((0.5,))
    histogram.add(0.25)
    metrics = [
        ("a_total", "counter", "Some.", 3),
        ("b", "counter", "By reason.", {label("err", 'x"\\y\n'): 1}),
        ("c", "histogram", "Times.", histogram),
    ]
    assert page(metrics, label("model", "m")).decode() == (
        "# HELP a_total Some.\n# TYPE a_total counter\n"
        'a_total{model="m"} 3\n'
        "# HELP b By reason.\n# TYPE b counter\n"
        'b{model="m",err="x\\"\\\\y\\n"} 1\n'
        "# HELP c Times.\n# TYPE c histogram\n"
        'c_bucket{model="m",le="0.5"} 1\nc_bucket{model="m",le="+Inf"} 1\n'
        'c_sum{model="m"} 0.25\nc_count{model="m"} 1\n'
    )


def test_what_was_given_up_leaves_no_times():
    """A cancelled sequence is no success and no observation."""
    tally = Tally()
    gone = Sequence(prompt_tokens=3, output_tokens=5, submitted_ns=0)
    gone.cancelled = True
    tally.ended(gone, "length")
    assert (tally.succeeded, tally.total_s.count, tally.output_tokens.count) == (0, 0, 0)
