"""Whether more load still gives more: analytic curves, queues that are simulated here, noise, false alarms."""

import heapq
import statistics
from random import Random

import pytest

from harness.saturation import Held, of_rates, of_users

LEVELS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = 150  # of an answer


def batch(users):
    """A server that takes 10 ms + 0.1 ms a slot for a token of each, in 64 slots: tokens/s."""
    busy = min(users, 64)
    return 1e3 * busy / (10 + 0.1 * busy)


def sixteen(users):
    """Sixteen servers of 100 tokens/s, without think time."""
    return 100.0 * min(users, 16)


def power(exponent):
    """Always growing: by 2 ** exponent for each doubling."""
    return lambda users: 100.0 * users**exponent


def level(users, curve, random=None, noise=0.0, parts=10, *, latency=True, failed=0.0):
    """A level of 30 s, each part of it off by its own noise; by Little's law an answer takes users / rate."""
    rate = curve(users)
    rates = tuple(rate * (1 + (random.gauss(0, noise) if random else 0.0)) for _ in range(parts))
    mean = statistics.fmean(rates)
    off = 1 + random.gauss(0, noise) if random else 1.0
    return Held(
        offered=users,
        window_s=30.0,
        requests=round(mean * 30 / TOKENS),
        tokens_per_s=mean,
        latency_ms=1e3 * users * TOKENS / rate * off if latency else None,
        failed=failed,
        rates=rates if parts > 1 else (),
    )


def ended_at(curve, random=None, noise=0.0, parts=10, levels=LEVELS):
    """The level after which the sweep is ended; None if never."""
    held = []
    for users in levels:
        held.append(level(users, curve, random, noise, parts))
        if of_users(held):
            return users
    return None


def test_a_batch_server_is_full_where_its_slots_are():
    """64 slots: 128 users get no more than 64 did, which is said with the numbers."""
    assert ended_at(batch) == 128
    held = [level(users, batch) for users in (32, 64, 128)]
    assert (
        of_users(held)
        == "128 users get 3,902 tokens/s, 0 % more than 64, and an answer takes 2 times as long"
    )
    assert of_users(held[:2]) is None


@pytest.mark.parametrize("parts", [2, 3, 10])
def test_noise_delays_it_at_most(parts):
    """With 3 % of noise the end of the gain is seen, where parts of windows are known at once nearly always."""
    random = Random(parts)
    ends = [ended_at(sixteen, random, 0.03, parts) for _ in range(100)]
    assert min(ends) == 32
    assert sum(end in {32, 64} for end in ends) >= 95
    assert sum(end == 32 for end in ends) >= {2: 35, 3: 65, 10: 95}[parts]


@pytest.mark.parametrize(("gain", "noise"), [(0.2, 0.03), (0.3, 0.05), (0.5, 0.1), (1.0, 0.2)])
@pytest.mark.parametrize("parts", [2, 10])
def test_a_sweep_that_gains_is_not_ended(gain, noise, parts):
    """Whole sweeps of nine levels that gain 15 % and more for each doubling: at most 1 in 100 is ended."""
    random = Random(parts)
    alarms = sum(ended_at(power(gain), random, noise, parts) is not None for _ in range(300))
    assert alarms <= 3


def test_small_steps_need_to_give_less():
    """In steps of two users none gains much over the last; only the plateau ends the sweep, within half as many users more."""
    steps = range(2, 41, 2)
    assert ended_at(sixteen, levels=steps) == 18
    random = Random(5)
    ends = [ended_at(sixteen, random, 0.03, levels=steps) for _ in range(100)]
    assert min(ends) >= 18
    assert max(ends) <= 32
    assert ended_at(power(0.3), random, 0.03, levels=steps) is None


def test_without_parts_the_number_of_requests_says_how_noisy():
    """A rate of 40 requests is known to 16 %, one of 4,000 to 1.6 %: only there is anything ruled out."""
    few = [Held(8, 30, 40, 200.0, 6000.0), Held(16, 30, 40, 200.0, 12000.0)]
    many = [Held(8, 30, 4000, 20000.0, 60.0), Held(16, 30, 4000, 20000.0, 120.0)]
    assert of_users(few) is None
    assert (
        of_users(many) == "16 users get 20,000 tokens/s, 0 % more than 8, and an answer takes 2 times as long"
    )


def test_a_rate_that_stands_still_needs_a_reason():
    """Answers that take as long as before and do not fail mean that load did not get there; failing ones are a reason."""
    before = level(64, batch)
    idle = Held(128, 30, before.requests, before.tokens_per_s, before.latency_ms, 0.0, before.rates)
    assert of_users([before, idle]) is None
    refused = Held(128, 30, before.requests, before.tokens_per_s, before.latency_ms, 0.5, before.rates)
    assert (
        of_users([before, refused])
        == "128 users get 3,902 tokens/s, 0 % more than 64, and 50 % of the requests fail"
    )
    all_fail = Held(128, 30, before.requests, before.tokens_per_s, before.latency_ms, 0.998, before.rates)
    assert str(of_users([before, all_fail])).endswith("and 99.8 % of the requests fail")
    unknown = level(128, batch, latency=False)
    assert of_users([before, unknown]).endswith("and how long answers take was not measured")


def test_a_rate_that_falls_is_no_gain_either():
    """A server that thrashes gives less: said so."""
    falling = [level(8, lambda _: 1000.0), level(16, lambda _: 800.0)]
    assert (
        of_users(falling)
        == "16 users get 800 tokens/s, 20 % less than 8, and an answer takes 2.5 times as long"
    )


def test_nothing_is_said_of_nothing():
    """No level, one level, or a rate that was not measured."""
    assert of_users([]) is None
    assert of_rates([]) is None
    assert of_users([level(8, batch)]) is None
    assert of_users([level(8, batch), Held(16, 30, 0)]) is None


def queue(rate, seconds, random=None, servers=16, each_s=4.0):
    """An open loop into `servers`, from empty; without randomness arrivals and answers are regular."""
    free, now, changes, took = [0.0] * servers, 0.0, [], []
    while True:
        now += random.expovariate(rate) if random else 1 / rate
        if now >= seconds:
            break
        begin = max(now, heapq.heappop(free))
        end = begin + (random.expovariate(1 / each_s) if random else each_s)
        heapq.heappush(free, end)
        changes += [(now, 1), (end, -1)]
        took.append(end - now)
    changes.sort()
    present, count, place = [], 0, 0
    for look in range(201):
        while place < len(changes) and changes[place][0] <= seconds * look / 200:
            count += changes[place][1]
            place += 1
        present.append(float(count))
    ended = sum(change < 0 and at < seconds for at, change in changes)
    return Held(
        offered=rate,
        window_s=seconds,
        requests=ended,
        latency_ms=1e3 * statistics.median(took),
        due=len(took),
        present=tuple(present),
    )


def alarms(rate, seconds, runs=100, seed=1):
    """How many of that many runs at a rate are said to be beyond what sixteen servers (4 req/s) can do."""
    random = Random(seed)
    calm = queue(0.8, 60.0, random)
    return sum(of_rates([calm, queue(rate, seconds, random)]) is not None for _ in range(runs))


def test_a_rate_that_can_be_served_raises_no_alarm():
    """Up to 90 % of what the server can do, at most 1 in 100, though the window begins with an empty server."""
    assert alarms(2.0, 60.0) <= 1
    assert alarms(3.6, 60.0) <= 1
    assert alarms(3.6, 300.0) <= 1


def test_a_rate_beyond_the_server_is_seen():
    """Half as much again as it can do within a minute; a fifth more within five."""
    assert alarms(6.0, 60.0) >= 95
    assert alarms(4.8, 300.0, runs=40) >= 38


def test_growth_is_seen_where_it_is_regular_and_small():
    """One in twenty too many, arrivals and answers regular: the requests under way grow in a straight line."""
    calm = queue(1.0, 60.0)
    assert of_rates([calm, queue(3.8, 300.0)]) is None
    over = queue(4.2, 300.0)
    assert of_rates([calm, over]) == (
        "at 4.2 req/s the requests waiting and under way grew steadily, from 30 to 75 in 225 s"
    )


def test_what_came_and_did_not_end_is_told():
    """Without looks at the requests under way, the share that ended: of what came, or of what was offered."""
    calm = Held(1, 60, 60, latency_ms=2000.0)
    assert (
        of_rates([calm, Held(10, 60, 400, latency_ms=9000.0)]) == "of 10 req/s that came, 6.667 ended (67 %)"
    )
    assert of_rates([calm, Held(10, 60, 400, latency_ms=9000.0, due=420)]) is None  # fewer came
    assert (
        of_rates([calm, Held(10, 60, 560, latency_ms=9000.0)]) is None
    )  # 10 req/s of 2 s each are under way


def test_a_window_that_only_fills_the_server_tells_nothing():
    """Answers that take half of the window: what is under way grows in any case."""
    filling = Held(1, 20, 10, latency_ms=10_000.0, due=20, present=tuple(float(look) for look in range(201)))
    assert of_rates([filling]) is None
