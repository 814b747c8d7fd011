"""Many seeds, each with its own history: one after the other, or several at once in processes of their own.

Each history is folded once and forked for every scenario. Called by the command line.
"""

import gc
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import NamedTuple, TypeVar

from streams.scenario_ground import History, Progress, make_ground
from streams.scenario_honest import HonestMonth, fold_honest
from streams.scenario_result import Result
from streams.scenario_run import run
from streams.settings import Settings
from streams.simulation.episodes import Episode
from streams.simulation.phases import Scenario

HISTORY_SHARE = 0.7
"""Of a seed's work; the rest are its scenarios (a guess for the progress bar)."""

COLLECTION_THRESHOLDS = (50_000, 20, 1_000)
"""As the worker's: the state has no cycles, and full collections walk all of it for nothing."""

Made = TypeVar("Made")


class Wanted(NamedTuple):
    """What is to be run over each seed's history."""

    settings: Settings
    history: History
    scenarios: tuple[Scenario, ...]
    hold: bool


class HonestWanted(NamedTuple):
    """What honest days are to be folded for each seed."""

    settings: Settings
    history: History
    episodes: tuple[Episode, ...]
    warm_days: int


def run_seed(wanted: Wanted, seed: int, progress: Progress | None = None) -> list[Result]:
    """All scenarios over one seed's history. Raises ScenarioRefusedError if the exchange lacks what one needs."""

    def part(count: int, share: float) -> None:
        if progress is not None:
            progress(count, share * HISTORY_SHARE)

    gc.set_threshold(*COLLECTION_THRESHOLDS)
    ground = make_ground(wanted.settings, wanted.history, seed, part)
    results = []
    for number, scenario in enumerate(wanted.scenarios, start=1):
        results.append(run(ground, scenario, hold=wanted.hold))
        if progress is not None:
            progress(ground.records, HISTORY_SHARE + (1.0 - HISTORY_SHARE) * number / len(wanted.scenarios))
    return results


def honest_seed(wanted: HonestWanted, seed: int, progress: Progress | None = None) -> HonestMonth:
    """One seed's honest days."""
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    return fold_honest(wanted.settings, wanted.history, seed, wanted.episodes, wanted.warm_days, progress)


Work = TypeVar("Work")


def over_seeds(
    body: Callable[[Work, int, Progress | None], Made], work: Work, seeds: Sequence[int], jobs: int, progress: Progress | None = None
) -> list[Made]:
    """The body's outcome for each seed, in the seeds' order; `jobs` at once. Raises what the body raises."""
    if jobs <= 1 or len(seeds) == 1:
        return [body(work, seed, _share_of(progress, index, len(seeds))) for index, seed in enumerate(seeds)]
    made: dict[int, Made] = {}
    with ProcessPoolExecutor(min(jobs, len(seeds)), mp_context=multiprocessing.get_context("spawn")) as pool:
        futures: dict[Future[Made], int] = {pool.submit(body, work, seed, None): seed for seed in seeds}
        for future in as_completed(futures):
            made[futures[future]] = future.result()
            if progress is not None:
                progress(len(made), len(made) / len(seeds))
    return [made[seed] for seed in seeds]


def _share_of(progress: Progress | None, index: int, seeds: int) -> Progress | None:
    if progress is None:
        return None

    def part(count: int, share: float) -> None:
        progress(count, (index + share) / seeds)

    return part
