"""Locust's users of an open loop, of a real locustfile's classes in a process of their own, for Locust patches it."""

import json
import subprocess
import sys
from typing import Any

import pytest

PLAY = """
import json, sys, time
from functools import partial
import gevent
from locust import User, constant, task
from locust.env import Environment
from locust.exception import StopUser

from harness.leave import Slot, Turn
from harness.open_loop import Arrival
from harness.orders import Step
from harness.record import Phase
from harness.visitors import Visitors

seen, gone = [], []


class Chat(User):
    wait_time = constant(60)
    weight = 3
    left = 0

    @property
    def is_chatting(self):
        return self.left > 0

    @task
    def talk(self):
        seen.append((type(self).__name__, self.arrival.number, isinstance(self, Chat), type(self) is Chat))
        if self.arrival.number == 7:
            raise ValueError("a task of its own")
        if self.arrival.number == 8:
            self.left = 3 if self.left == 0 else self.left - 1
        if self.arrival.number == 9:
            gevent.sleep(30)


class Rag(Chat):
    weight = 1


class Broken(Chat):
    def __init__(self, environment):
        raise RuntimeError("cannot be made")


class Shy(Chat):
    def on_start(self):
        raise RuntimeError("cannot begin")


def arrival(number):
    turn = Turn(Step(index=0, level=1, repeat=1, open_ns=0, warmup=0, quota=None))
    return Arrival(number, 0, turn, Slot(1, 1, Phase.MEASURE))


def visitors(*classes, seed=1):
    environment = Environment(user_classes=list(classes))
    runner = environment.create_local_runner()
    environment.stop_timeout = 0.2
    return Visitors(environment, runner, classes, seed), runner


def come(some, number):
    some.come(arrival(number), partial(gone.append, number))


def drawn(seed):
    seen.clear()
    some, runner = visitors(Chat, Rag, seed=seed)
    for number in range(100, 500):
        come(some, number)
    counts = runner.user_count
    gevent.sleep(0.3)
    return [name for name, *_ in sorted(seen, key=lambda one: one[1])], counts, runner.user_count


out = {}
one, out["here"], out["after"] = drawn(1)
again, *_ = drawn(1)
other, *_ = drawn(2)
out["drawn"] = {name: one.count(name) for name in ("Chat", "Rag")}
out["same"], out["other"] = one == again, one == other
gone.clear(), seen.clear()
some, runner = visitors(Chat)
for number in (1, 7, 8, 9):
    come(some, number)
gevent.sleep(0.3)
out["seen"], out["gone"], out["count"] = sorted(seen), sorted(gone), runner.user_count
out["classes"] = {kind: count for kind, count in runner.user_classes_count.items() if count}
begin = time.monotonic()
some.drain()
out["drained_s"], out["left"] = time.monotonic() - begin, runner.user_count
gevent.sleep(0)
out["gone at last"] = sorted(gone)
gone.clear(), seen.clear()
for kind in (Broken, Shy):
    some, runner = visitors(kind)
    come(some, 1)
    come(some, 2)
    gevent.sleep(0.3)
    out[kind.__name__] = [sorted(gone), len(seen), runner.user_count, [row["msg"] for row in runner.exceptions.values()]]
    gone.clear(), seen.clear()
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def said() -> Any:
    """What the play has printed."""
    done = subprocess.run(
        [sys.executable, "-c", PLAY], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]) | {"stderr": done.stderr}


def test_the_number_of_users_is_what_is_in_flight(said: Any) -> None:
    """All who have come, and nobody who has gone."""
    assert (said["here"], said["after"]) == (400, 0)


def test_classes_are_drawn_by_their_weights_and_the_seed(said: Any) -> None:
    """Three to one of 400; the same seed draws the same for each number."""
    assert said["drawn"]["Chat"] + said["drawn"]["Rag"] == 400
    assert abs(said["drawn"]["Rag"] - 100) < 45
    assert (said["same"], said["other"]) == (True, False)


def test_one_task_and_gone(said: Any) -> None:
    """Without its class's think time; a chat goes on until it is over, and a task that fails ends its user."""
    names = [number for _, number, *_ in said["seen"]]
    assert (names.count(1), names.count(7), names.count(8), names.count(9)) == (1, 1, 4, 1)
    assert said["gone"] == [1, 7, 8]
    assert said["count"] == 1  # number 9 is still busy


def test_a_visitor_is_of_the_locustfiles_class_by_name_and_kind(said: Any) -> None:
    """But it is another type: Locust's own spawning leaves it alone."""
    assert all(
        (name, is_chat, is_itself) == ("Chat", True, False) for name, _, is_chat, is_itself in said["seen"]
    )
    assert said["classes"] == {"Chat": 1}


def test_draining_waits_so_long_and_no_longer(said: Any) -> None:
    """For --stop-timeout, 0.2 s here; then whoever is still busy is ended, and that is noticed."""
    assert 0.15 < said["drained_s"] < 5
    assert (said["left"], said["gone at last"]) == (0, [1, 7, 8, 9])


def test_a_class_that_cannot_be_made_ends_no_arrivals(said: Any) -> None:
    """Each arrival is given back, and Locust's table of exceptions has it."""
    gone, seen, count, exceptions = said["Broken"]
    assert (gone, seen, count) == ([1, 2], 0, 0)
    assert exceptions == ["Broken: RuntimeError('cannot be made')"]
    gone, seen, count, _ = said["Shy"]
    assert (gone, seen, count) == ([1, 2], 0, 0)
