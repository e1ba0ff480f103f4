"""Locust's web UI with a locustfile that has routes of its own: what tests of who may come in ask for."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import requests
from locust_runs import ROOT

__all__ = ["HASH", "PASSWORD", "SECRET", "locustfile", "password_hash", "rules"]

PASSWORD: Final = "correct horse, battery"
HASH: Final = "TOKENSWARM_WEB_PASSWORD_HASH"
SECRET: Final = "sk-of-an-exception"
_SOURCE: Final = f"""
from flask import abort, jsonify, request
from locust import events, task
from harness.users import LLMUser

class Chatter(LLMUser):
    backend = "openai"
    @task
    def chat(self):
        self.ask(name="chat")

@events.init.add_listener
def _(environment, web_ui, **_):
    def rules():
        return jsonify([[rule.rule, sorted(rule.methods), rule.endpoint] for rule in web_ui.app.url_map.iter_rules()])
    def crash():
        raise RuntimeError("it was {SECRET}, <b>said</b> so")
    def missing():
        abort(404)
    def size():
        return str(len(request.get_data()))
    for view in (rules, crash, missing, size):
        methods = ["GET", "POST"]
        web_ui.app.add_url_rule(f"/own/{{view.__name__}}", view_func=web_ui.auth_required_if_enabled(view), methods=methods)
"""


def locustfile(folder: Path, more: str = "") -> Path:
    """One whose routes below /own, behind the login where there is one, list all routes, crash, abort and count bytes."""
    path = folder / "door.py"
    path.write_text(_SOURCE + more)
    return path


@functools.cache
def password_hash(password: str = PASSWORD) -> str:
    """What `tokenswarm web-password` makes of it."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", "web-password"],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return done.stdout.strip()


def rules(url: str, session: requests.Session) -> list[tuple[str, list[str], str]]:
    """Every route of the process: path, methods, name."""
    found: list[Any] = session.get(f"{url}/own/rules", timeout=10).json()
    return [(path, methods, name) for path, methods, name in found]
