"""`tokenswarm chat`: talk to a server in a terminal, each answer measured as a load's request is."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_parser", "main"]

_DESCRIPTION = """\
Talk to a server and see after each answer what it took: TTFT, TPOT, tokens/s, latency, token counts, the server's own times.
Questions come from the terminal, or from a pipe, one a line. Ctrl-C stops an answer, a second one ends; so does the
end of the input. /help lists the commands. Exit code: 0, 1 if an answer of a pipe's failed, 2 for a wrong option.
"""
_EPILOG = """\
examples:
  tokenswarm chat --host http://127.0.0.1:8080 --backend llamacpp --api-mode chat
  tokenswarm chat --host https://api.sambanova.ai/v1 --backend sambanova --model Meta-Llama-3.3-70B-Instruct --temperature 0.2
  echo 'What is a token?' | tokenswarm chat --host http://127.0.0.1:8000 --json
The key is read from the environment, as for a load (docs/backends.md). docs/chat.md says what the figures mean.
"""


def add_parser(subparsers: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Mount `chat` on the command line; its namespace carries `run`, which is `main`."""
    parser = subparsers.add_parser(
        "chat",
        help="talk to a server, each answer with its figures",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", metavar="URL", help="the server's base URL, e.g. http://127.0.0.1:8080")
    add("--backend", metavar="NAME", help="what it speaks: openai, vllm, llamacpp, tgi, ... (default openai)")
    add("--api-mode", metavar="MODE", help="which of its APIs, e.g. chat or native (default its first)")
    add("--model", metavar="NAME", help="model to ask for (default the one the server offers)")
    add("--system", metavar="TEXT", help="system prompt")
    add("--max-tokens", metavar="N", help="most tokens of an answer (default 512)")
    add("--temperature", metavar="T", help="sampling temperature (default the server's)")
    add("--top-p", metavar="P", help="nucleus sampling (default the server's)")
    add("--seed", metavar="N", help="seed of the sampling (default none)")
    add("--extra-body", metavar="JSON", help="JSON object laid over every request's body")
    add("--header", action="append", metavar="'NAME: VALUE'", help="sent with every request (repeatable)")
    add(
        "--backend-option",
        action="append",
        metavar="K=V",
        help="what this server does differently (repeatable)",
    )
    add("--stream", metavar="WHEN", help="ask for streamed answers: auto, yes or no (default auto)")
    add("--ca-file", metavar="FILE", help="PEM file of the CA that signed the server's certificate")
    add("--insecure", action="store_true", help="do not verify the server's certificate")
    for name, says in (
        ("connect", "to open a connection (default 10)"),
        ("first-token", "from sending a question to the first token (default 300)"),
        ("idle", "without a byte in mid-stream (default 60)"),
        ("total", "for a whole answer (default 900)"),
    ):
        add(f"--{name}-timeout", metavar="SECONDS", help=f"seconds {says}")
    add("--json", action="store_true", help="print each answer as a line of JSON, with its figures")
    parser.set_defaults(run=main)


def main(args: argparse.Namespace) -> int:
    """Talk until the input ends. Returns the exit code.

    Raises:
        ConfigError: a wrong option, or a server that cannot be asked for its models.
    """
    from harness.chat import terminal  # noqa: PLC0415  it reads what a load does

    return terminal.talk(args)
