"""Pairs of prompt and output length: the files they come from, what is drawn, and how mistakes are told."""

import gzip
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.distributions import parse
from harness.errors import ConfigError
from harness.joint import Independent, Lengths, Pairs, read

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def said(tmp_path):
    """What `--lengths FILE` makes of some bytes."""

    def reading(data: str | bytes) -> Pairs:
        path = tmp_path / "pairs"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read(str(path))

    return reading


@pytest.mark.parametrize(
    "data",
    [
        "prompt_tokens,output_tokens\n300,20\n4000,7\n",
        "\ufeffPrompt_Tokens , OUTPUT_TOKENS\r\n\r\n300, 20\r\n4000,7",
        "output_length,input_length\n20,300\n7,4000\n",
        # Azure's, BurstGPT's (whose second row failed) and Mooncake's layouts
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,300,20\n2023-11-16 18:15:50.9,4000,7\n",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"  # noqa: ISC004
        '5,ChatGPT,300,20,320,Conversation log\n6,GPT-4,90,0,90,API log\n7,GPT-4,4000,7,4007,"API, log"\n',
        '{"timestamp": 0, "input_length": 300, "output_length": 20, "hash_ids": [0, 1]}\n'  # noqa: ISC004
        '{"timestamp": 9, "input_length": 4000, "output_length": 7, "hash_ids": []}\n',
        '\n{"output_tokens": 20, "prompt_tokens": 300}\n\n{"prompt_tokens": 4000, "output_tokens": 7, "x": null}',
        gzip.compress(b"prompt_tokens,output_tokens\n300,20\n4000,7\n", mtime=0),
    ],
)
def test_layouts_that_say_the_same(said, data):
    """CSV and JSONL under each of their names, other columns, blank lines, capitals and gzip: the same pairs."""
    pairs = said(data)
    assert list(zip(pairs.prompts, pairs.outputs, strict=True)) == [(300, 20), (4000, 7)]
    assert pairs.left_out == ("Response tokens" in str(data))
    assert pairs.bounds is None


@pytest.mark.parametrize(
    "data",
    [
        "prompt_tokens,output_tokens,weight\n300,20,3\n5,5,0\n4000,7,1\n",
        '{"prompt_tokens":300,"output_tokens":20,"weight":0.75}\n{"prompt_tokens":4000,"output_tokens":7,"weight":0.25}',
    ],
)
def test_weights(said, data):
    """Weights decide how often a pair is drawn; a pair of weight 0 is as if it were not there."""
    pairs, rng = said(data), random.Random(2)
    drawn = Counter(pairs.sample(rng) for _ in range(20_000))
    assert set(drawn) == {(300, 20), (4000, 7)}
    assert drawn[300, 20] / 20_000 == pytest.approx(0.75, abs=0.02)


def test_pairs_belong_together(said):
    """Only pairs of the file are drawn, each as often as the other: chi-squared over 100 of them, 99 degrees."""
    pairs, rng = (
        said("prompt_tokens,output_tokens\n" + "".join(f"{n},{2 * n}\n" for n in range(1, 101))),
        random.Random(3),
    )
    drawn = Counter(pairs.sample(rng) for _ in range(50_000))
    assert len(drawn) == 100
    assert all(output == 2 * prompt for prompt, output in drawn)
    assert sum((n - 500) ** 2 / 500 for n in drawn.values()) < 161.3  # its 99.99th percentile


def test_a_seed_draws_the_same_pairs(said):
    """One source decides, by one draw a pair; the second source of a request's lengths is left alone."""
    pairs = said("prompt_tokens,output_tokens\n" + "".join(f"{n},{n}\n" for n in range(1, 1001)))
    first, again, other = random.Random(4), random.Random(4), random.Random(5)
    untouched = other.getstate()
    lengths: Lengths = pairs
    assert [pairs.sample(first) for _ in range(50)] == [lengths.sample(again, other) for _ in range(50)]
    assert other.getstate() == untouched
    assert first.getstate() == again.getstate()


def test_independent_lengths_keep_their_sequences():
    """Two distributions draw what each draws alone from its source, so a recorded run can be made again."""
    both = Independent(parse("lognormal:550,150", "x"), parse("normal:150,40", "x"))
    prompts, outputs = random.Random("7 prompt sizes"), random.Random("7 output sizes")
    drawn = [both.sample(prompts, outputs) for _ in range(100)]
    prompts, outputs = random.Random("7 prompt sizes"), random.Random("7 output sizes")
    assert [prompt for prompt, _ in drawn] == [both.prompt.sample(prompts) for _ in range(100)]
    assert [output for _, output in drawn] == [both.output.sample(outputs) for _ in range(100)]
    assert drawn[:2] == [(634, 178), (632, 167)]


def test_what_lengths_say_of_themselves(said, tmp_path):
    """Both kinds have words as `--mix` has them."""
    pairs = said("prompt_tokens,output_tokens\n300,20\n")
    independent: Lengths = Independent(parse("uniform:100,900", "x"), parse("150", "x"))
    assert pairs.describe() == f"lengths={tmp_path / 'pairs'}"
    assert independent.describe() == "prompt=uniform:100,900 output=150"
    assert len(pairs) == 1


HEAD = "prompt_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("data", "line", "problem"),
    [
        ("", None, "is empty"),
        ("\n \n", None, "is empty"),
        (HEAD, None, "has no pairs"),
        ("Request tokens,Response tokens\n5,0\n", None, "has no pairs"),
        (HEAD.strip() + ",weight\n5,5,0\n", None, "has weights that sum to nothing"),
        (HEAD.strip() + ",weight\n5,5,1e15\n5,5,1e15\n", None, "has weights that sum to more than 1e+15"),
        ("300,20\n", 1, "names no prompt length; known are prompt_tokens, input_length, ContextTokens"),
        ("prompt_tokens;output_tokens\n300;20\n", 1, "names no prompt length"),
        (
            "prompt_tokens,answer\n300,20\n",
            1,
            "names no output length; known are output_tokens, output_length",
        ),
        (
            "prompt_tokens,input_length,output_tokens\n1,2,3\n",
            1,
            "has both 'prompt_tokens' and 'input_length'",
        ),
        (HEAD + "300,20\n\n300\n", 4, "has 1 columns, not 2 as the header"),
        (HEAD + "300,20,5\n", 2, "has 3 columns, not 2 as the header"),
        (HEAD + "300,\n", 2, "has '' as output_tokens"),
        (HEAD + "300,0\n", 2, "has 0 as output_tokens; give from 1 to 1000000"),
        (HEAD + "-3,20\n", 2, "has '-3' as prompt_tokens"),
        (HEAD + "3.5,20\n", 2, "has '3.5' as prompt_tokens"),
        (HEAD + "2000000,20\n", 2, "has 2000000 as prompt_tokens"),
        (HEAD.strip() + ",weight\n5,5,-1\n", 2, "has '-1' as weight"),
        (HEAD.strip() + ",weight\n5,5,\n", 2, "has '' as weight"),
        (HEAD + '300,"20\n', 2, "is no CSV (unexpected end of data)"),
        (HEAD + '300,"2"0\n', 2, "is no CSV ("),
        ('[{"prompt_tokens": 1, "output_tokens": 2}]', 1, "is a JSON array"),
        ('{"prompt_tokens": 1}\n', 1, "names no output length"),
        (
            '{"prompt_tokens": 1, "output_tokens": 2}\n{"prompt_tokens": 1}\n',
            2,
            "has no 'output_tokens', which",
        ),
        ('{"prompt_tokens": 1, "output_tokens": 2}\n{"prompt_tokens": 1,\n', 2, "is no JSON ("),
        ('{"prompt_tokens": 1, "output_tokens": 2}\n7\n', 2, "is no JSON object"),
        ('{"prompt_tokens": 1, "output_tokens": null}\n', 1, "has None as output_tokens"),
        ('{"prompt_tokens": true, "output_tokens": 2}\n', 1, "has True as prompt_tokens"),
        ('{"prompt_tokens": 1.0, "output_tokens": 2}\n', 1, "has 1.0 as prompt_tokens"),
        ('{"prompt_tokens": 1, "output_tokens": 2, "weight": -1}\n', 1, "has -1 as weight"),
        ('{"prompt_tokens": 1, "output_tokens": 2, "weight": null}\n', 1, "has None as weight"),
        (
            '{"prompt_tokens":1,"output_tokens":2}\n{"prompt_tokens":1,"output_tokens":2,"weight":3}\n',
            2,
            "has a weight and the first line has none",
        ),
        (b"\x00\x01\x02\xff", 1, "is not UTF-8 text"),
    ],
)
def test_refused_files(said, tmp_path, data, line, problem):
    """One line with the option, the file, the line, the problem and the fix."""
    with pytest.raises(ConfigError) as caught:
        said(data)
    message = str(caught.value)
    where = f"--lengths {str(tmp_path / 'pairs')!r}"
    assert message.startswith(f"{where} {problem}" if line is None else f"{where} line {line} {problem}")
    assert "; " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("path", "problem"), [("", "names no file"), ("nowhere.csv", "cannot be read (No such")]
)
def test_refused_paths(path, problem):
    """A file that is not there is named with the option that asked for it."""
    with pytest.raises(ConfigError) as caught:
        read(path, "--mix chat: lengths")
    assert str(caught.value).startswith(f"--mix chat: lengths {path!r} {problem}")


@given(
    st.sampled_from([b"", b"prompt_tokens,output_tokens\n", b'{"prompt_tokens":1,"output_tokens":2}\n{']),
    st.binary(max_size=100),
)
@FILES
def test_no_bytes_make_a_traceback(said, head, data):
    """Whatever a file holds: pairs, or a ConfigError."""
    try:
        pairs = said(head + data)
    except ConfigError:
        return
    assert len(pairs) >= 1


def test_what_is_kept_is_small(said):
    """8 bytes a pair, 16 with weights."""
    rows = 10_000
    plain = said(HEAD + "300,20\n" * rows)
    weighted = said(HEAD.strip() + ",weight\n" + "300,20,2\n" * rows)
    columns = [plain.prompts, plain.outputs, weighted.prompts, weighted.outputs, weighted.bounds]
    assert [len(column) * column.itemsize for column in columns] == [40_000, 40_000, 40_000, 40_000, 80_000]
