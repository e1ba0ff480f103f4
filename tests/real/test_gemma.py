"""Real text once: Gemma 3 270M through llama.cpp, a handful of small requests."""

import json
from pathlib import Path

import pytest
import requests
from locust_runs import finish, run, start

from harness.servers.process import Server

pytestmark = pytest.mark.real
PROMPTS = (
    "Repita exatamente: São João, coração, maçã, pão, avião, irmã.",
    "Escreva uma frase em português sobre São Paulo e o coração.",
    "Responda em português: o que é uma maçã?",
)
FIXED = {"temperature": 0, "seed": 7, "cache_prompt": False}


def test_streamed_text_is_the_text_of_the_whole_answer(tmp_path: Path, gemma_server: Server) -> None:
    """Portuguese through Locust's stream and asked for directly, in one piece: the same text, the same counts."""
    locustfile, said = tmp_path / "portuguese.py", tmp_path / "said.jsonl"
    locustfile.write_text(
        "import itertools, json\n"
        "from locust import task\n"
        "from harness.users import LLMUser\n"
        f"PROMPTS = itertools.cycle({PROMPTS!r})\n"
        "class Portuguese(LLMUser):\n"
        "    backend = 'openai'\n"
        "    @task\n"
        "    def talk(self):\n"
        "        record = self.ask(next(PROMPTS), max_tokens=16)\n"
        f"        with open({str(said)!r}, 'a') as file:\n"
        "            json.dump([record.request_id, record.text], file)\n"
        "            file.write('\\n')\n"
    )
    done = run(
        locustfile, tmp_path / "r", "--host", gemma_server.url, "--levels", "1", "--requests-per-level",
        str(len(PROMPTS)), "--exact-output", "no", "--preflight", "no", "--model", "gemma", "--extra-body", json.dumps(FIXED),
    )  # fmt: skip
    assert done.code == 0, done.err
    frame = done.requests.set_index("request_id")
    streamed = [json.loads(line) for line in said.read_text().splitlines()]
    assert len(streamed) == len(frame) == len(PROMPTS)
    for prompt, (request_id, text) in zip(PROMPTS, streamed, strict=True):
        answer = _ask(gemma_server, prompt)
        row = frame.loc[request_id]
        assert text == answer["choices"][0]["message"]["content"]
        assert row.prompt_tokens == answer["usage"]["prompt_tokens"] <= 48
        assert row.output_tokens == answer["usage"]["completion_tokens"] <= 16
        assert row.finish_reason == answer["choices"][0]["finish_reason"]
        _check_real_text(text)
    assert any("ã" in text for _, text in streamed)
    assert (frame.cached_tokens == 0).all()


def _ask(server: Server, prompt: str) -> dict:  # type: ignore[type-arg]  # JSON
    """The same request in one piece and without tokenswarm."""
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": 16}
    answer = requests.post(f"{server.url}/v1/chat/completions", json=body | FIXED, timeout=60)
    answer.raise_for_status()
    return answer.json()  # type: ignore[no-any-return]


def _check_real_text(text: str) -> None:
    """Words, and no sign of bytes decoded wrongly."""
    assert sum(character.isalpha() for character in text) > 0.6 * len(text.strip()) > 6
    assert "\N{REPLACEMENT CHARACTER}" not in text
    assert "Ã" not in text  # what UTF-8 read as Latin-1 looks like


def test_prompts_have_their_size_under_a_real_vocabulary(tmp_path: Path, gemma_server: Server) -> None:
    """262,144 tokens, a start token and a chat template: prompts are of the size asked, by the server's count."""
    processes = {
        mode: start(
            "llamacpp.py", tmp_path / mode, "--headless", "--host", gemma_server.url, "--api-mode", mode,
            "--levels", "1", "--requests-per-level", "3", "--prompt-tokens", "uniform:32,48",
            "--output-tokens", "uniform:8,16",
        )
        for mode in ("native", "chat")
    }  # fmt: skip
    for mode, process in processes.items():
        done = finish(process, tmp_path / mode)
        assert done.code == 0, done.err
        frame = done.requests
        assert len(frame) == 3
        assert frame.prompt_tokens.to_list() == frame.requested_prompt_tokens.to_list()
        assert frame.output_tokens.to_list() == frame.requested_output_tokens.to_list()
        assert (frame.e2e_ms > frame.server_prefill_ms + frame.server_decode_ms).all()
