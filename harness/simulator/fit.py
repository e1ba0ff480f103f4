"""`python -m harness.simulator.fit`: computes the costs in `profiles/*.toml` from what was published.

For each number of clients c two things are unknown, how long a decode step of c sequences takes and how fast
prompts are read beside c sequences, and two were published: a decode rate, and either the whole duration or
the rate of the prefill phase. Both are found by running the published wave (`wave`) through the engine's own
arithmetic and correcting the two unknowns by what they are off, from the smallest c to the largest. The
requests of a wave begin together: a profile's `gather_ms` is longer than it takes to send them all.

Maritaca's figures, per request with P prompt and G output tokens (`harness.maritaca`): generated_tps =
G / generation_time, total_tps = (P + G) / T; per wave: system_tps. The published spreads show what
generation_time covers: at c = 2 it varies by 4 % between requests that as a whole take the same time, so it
leaves queueing and reading the prompt out: it is the time from the first token to the last. Where a mean and a median were published, the geometric mean of both misses is brought to 0.

The other figures, of one wave (`phases`): prefill_tps = all prompt tokens / (last first token - first request
sent); decode_tps = the rates at which all requests got tokens while none was in prefill and none had ended
(from the last first token to the first last one), added up.

What a spread was published for gets a jitter: the median over c of system_tps' std / median, at most 1 %,
drawn anew for about each wave; larger ones come from single outliers, which we do not imitate.
"""

import statistics
import sys
from collections.abc import Mapping
from collections.abc import Sequence as Series
from dataclasses import dataclass, replace
from typing import Final

from harness.simulator.batching import Batch, Sequence
from harness.simulator.costs import CostModel, CostPoint, CostTable
from harness.simulator.profile import FOLDER, Experiment, Figure, Profile, load, names, published

MARK: Final = "# Below: computed by `python -m harness.simulator.fit`.\n"
ROUNDS: Final = 200  # of corrections at most
NEAR: Final = 1e-6  # a miss of this size, as a share or in s, is none
JITTER_MOST: Final = 1.0  # per cent
DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Misses:
    """How far a simulated wave is from what was published."""

    decode: float  # simulated / published rate
    seconds: float  # published - simulated, of the wave's whole or of its prefill phase


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of a wave. Stamps are ns, `tokens_ns` one for each token, ascending."""

    prompt_tokens: int
    sent_ns: int
    tokens_ns: Series[int]


def wave(cost: CostModel, clients: int, experiment: Experiment) -> list[Answer]:
    """One wave as the engine's arithmetic has it, in order of arrival."""
    batch = Batch(cost)
    stamps: dict[Sequence, list[int]] = {}
    for _ in range(clients):
        request = Sequence(
            prompt_tokens=experiment.prompt_tokens,
            output_tokens=experiment.output_tokens,
            submitted_ns=0,
        )
        stamps[request] = []
        batch.submit(request)
    at_ns = round(cost.gather_ms * 1e6)
    while (step := batch.start(at_ns)) is not None:
        at_ns = step.end_ns
        for request in batch.finish(step):
            stamps[request].append(at_ns)
    return [Answer(r.prompt_tokens, r.submitted_ns, at) for r, at in stamps.items()]


def phases(answers: Series[Answer]) -> tuple[float | None, float | None]:
    """Prefill and decode rate of a wave, tokens/s. None: no time in which all were decoding, or no token."""
    if not all(answer.tokens_ns for answer in answers):
        return None, None
    begun = max(answer.tokens_ns[0] for answer in answers)
    ended = min(answer.tokens_ns[-1] for answer in answers)
    rates = []
    for answer in answers:
        inside = [at for at in answer.tokens_ns if begun <= at <= ended]
        if len(inside) < 2:
            return None, None
        rates.append((len(inside) - 1) * 1e9 / (inside[-1] - inside[0]))
    prefill_ns = begun - min(answer.sent_ns for answer in answers)
    return sum(answer.prompt_tokens for answer in answers) * 1e9 / prefill_ns, sum(rates)


def maritaca(answers: Series[Answer]) -> Mapping[tuple[str, str], float]:
    """Maritaca's figures of a wave, by (figure, stat)."""
    whole = [answer.prompt_tokens + len(answer.tokens_ns) for answer in answers]
    lasted = [(answer.tokens_ns[-1] - answer.sent_ns) / 1e9 for answer in answers]
    own = [len(a.tokens_ns) * 1e9 / (a.tokens_ns[-1] - a.tokens_ns[0]) for a in answers]
    total = [tokens / seconds for tokens, seconds in zip(whole, lasted, strict=True)]
    return {
        ("generated_tps", "mean"): statistics.fmean(own),
        ("generated_tps", "median"): statistics.median(own),
        ("total_tps", "mean"): statistics.fmean(total),
        ("total_tps", "median"): statistics.median(total),
        ("system_tps", "median"): sum(whole) / statistics.median(lasted),
    }


def fit(profile: Profile, figures: Series[Figure]) -> CostModel:
    """The profile's cost model with the table and the jitter that its published figures ask for."""
    experiment = profile.experiment
    if experiment is None:
        raise ValueError(f"{profile.name}: nothing was published to fit to")
    points: list[CostPoint] = []
    cost = replace(profile.cost, jitter_percent=0.0, table=None)
    for clients in experiment.levels:
        target = {(f.figure, f.stat): f.value for f in figures if f.clients == clients}
        step_ms, prefill_s = 20.0, clients * experiment.prompt_tokens / 4000
        for _ in range(ROUNDS):
            point = CostPoint(clients, clients * experiment.prompt_tokens / prefill_s, step_ms)
            misses = _misses(
                wave(replace(cost, table=CostTable((*points, point))), clients, experiment),
                experiment,
                target,
            )
            if abs(misses.decode - 1) < NEAR and abs(misses.seconds) < NEAR:
                break
            step_ms *= misses.decode
            prefill_s = max(prefill_s / 2, prefill_s + misses.seconds)
        points.append(CostPoint(clients, _round(point.prefill_tokens_per_s), _round(step_ms)))
    return replace(
        cost,
        table=CostTable(tuple(points)),
        jitter_percent=_jitter(figures),
        jitter_steps=experiment.output_tokens,
    )


def render(cost: CostModel) -> str:
    """The fitted part of a profile's file."""
    points = () if cost.table is None else cost.table.points
    tables = (
        f"\n[[cost]]\nbatch = {point.batch}\nprefill_tokens_per_s = {point.prefill_tokens_per_s:g}\n"
        f"step_ms = {point.step_ms:g}\n"
        for point in points
    )
    jitter = f"\n[jitter]\npercent = {cost.jitter_percent:g}\nsteps = {cost.jitter_steps}\n"
    return "".join((MARK, *tables, jitter))


def main() -> int:
    """Rewrite the fitted part of every profile that has an experiment."""
    for name in names():
        profile = load(name)
        if profile.experiment is None:
            continue
        cost = fit(profile, [figure for figure in published() if figure.profile == name])
        path = FOLDER / f"{name}.toml"
        by_hand, _, _ = path.read_text(encoding="utf-8").partition(MARK)
        path.write_text(by_hand + render(cost), encoding="utf-8")
        print(name)
    return 0


def _misses(
    answers: Series[Answer], experiment: Experiment, target: Mapping[tuple[str, str], float]
) -> Misses:
    if experiment.figures == "maritaca":
        found = maritaca(answers)
        decode = _mean_ratio(found, target, ("generated_tps",))
        total = _mean_ratio(found, target, ("total_tps", "system_tps"))
        lasted = statistics.fmean((a.tokens_ns[-1] - a.sent_ns) / 1e9 for a in answers)
        return Misses(decode, lasted * (total - 1))
    prefill, decode_rate = phases(answers)
    if prefill is None or decode_rate is None:
        raise ValueError("the prompts take longer than the first answer: no decode phase to fit to")
    read = sum(answer.prompt_tokens for answer in answers)
    return Misses(
        decode_rate / target["decode_tps", "value"], read / target["prefill_tps", "value"] - read / prefill
    )


def _mean_ratio(
    found: Mapping[tuple[str, str], float], target: Mapping[tuple[str, str], float], figures: Series[str]
) -> float:
    """Geometric mean of found / published over the figures' means and medians."""
    return statistics.geometric_mean(
        found[key] / target[key] for key in found if key in target and key[0] in figures
    )


def _jitter(figures: Series[Figure]) -> float:
    """Per cent of a step's duration."""
    system = {(f.clients, f.stat): f.value for f in figures if f.figure == "system_tps"}
    shares = [100 * value / system[n, "median"] for (n, stat), value in system.items() if stat == "std"]
    return min(JITTER_MOST, _round(statistics.median(shares))) if shares else 0.0


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


if __name__ == "__main__":
    sys.exit(main())
