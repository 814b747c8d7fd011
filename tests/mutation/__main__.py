"""Mutation testing of ledger, marks and decisions: breaks one place after the other and tells which breaks no test notices.

`python -m tests.mutation [--seed N --sample N] [--file NAME] [--least PERCENT]`. Each mutant is tested in a process of its own, forked from one that has loaded
what is slow to load; files are never changed. A mutant that runs on and on is noticed too: by the processor's time, so that other work on the machine
doesn't change the score.
"""

import argparse
import gc
import importlib
import importlib.abc
import importlib.machinery
import os
import pathlib
import random
import resource
import sys
import time
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import pytest

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.plan import EQUIVALENT, FILES, WORLDS

ROOT = pathlib.Path(__file__).parents[2]
PROCESSOR_SECONDS_MAX = 30
"""Of one mutant: several times what all of its tests take."""
OURS = ("monitor", "streams", "tests")


class Job(NamedTuple):
    """One mutant of one module."""

    module: str
    mutant: Mutant

    @property
    def name(self) -> str:
        """The place and what is wrong there."""
        return f"{self.module.replace('.', '/')}.py:{self.mutant.line}: {self.mutant.told}"

    @property
    def text(self) -> str:
        """The source line without its place, which other changes move."""
        return self.source().splitlines()[self.mutant.line - 1].strip()

    def source(self) -> str:
        """The file as it is."""
        return (ROOT / f"{self.module.replace('.', '/')}.py").read_text()


class Wrong(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads the mutant in its module's place."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        """Its own module only."""
        return importlib.machinery.ModuleSpec(name, self) if name == self.job.module else None

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant's tree."""
        exec(compile(self.job.mutant.tree(self.job.source()), f"<{self.job.module}>", "exec"), module.__dict__)  # noqa: S102 - that is what a mutant is for


def jobs(names: Sequence[str]) -> list[Job]:
    """Every mutant of the named modules."""
    return [Job(module, mutant) for module in names for mutant in mutants((ROOT / f"{module.replace('.', '/')}.py").read_text())]


def arguments(tests: Sequence[str]) -> list[str]:
    """Of pytest: stop at the first failure, keep and explain nothing."""
    return [
        "-x", "-q", "--tb=no", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-m", "not long", *tests,
    ]  # fmt: skip


def start(job: Job) -> int:
    """Test a mutant in a forked process, whose exit code is 0 if no test noticed it."""
    child = os.fork()
    if child:
        return child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS_MAX, PROCESSOR_SECONDS_MAX))
    try:
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
        sys.meta_path.insert(0, Wrong(job))
        importlib.import_module(job.module)
        own = FILES[job.module]
        code = int(pytest.main(arguments(own)) or pytest.main(arguments([test for test in WORLDS if test not in own])))
    except BaseException:  # noqa: BLE001 - a mutant that can't even be imported is noticed
        code = 1
    os._exit(1 if code else 0)


def tested(found: list[Job], workers: int) -> list[Job]:
    """Those that no test noticed."""
    survivors: list[Job] = []
    running: dict[int, Job] = {}
    waiting, done = list(reversed(found)), 0
    while waiting or running:
        while waiting and len(running) < workers:
            job = waiting.pop()
            running[start(job)] = job
        child, status = os.wait()
        job = running.pop(child)
        done += 1
        if status == 0:
            survivors.append(job)
            print(f"survived: {job.name}: {job.text}", flush=True)
        if done % 100 == 0:
            print(f"{done} of {len(found)} mutants, {len(survivors)} survived", flush=True)
    return survivors


def main() -> int:
    """Test, print the score, and say whether it is high enough."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation testing of ledger, marks and decisions.")
    parser.add_argument("--file", action="append", choices=[name.rpartition(".")[2] for name in FILES], help="only this file; may be given again")
    parser.add_argument("--sample", type=int, help="only so many mutants, drawn by the seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--least", type=float, default=85.0, help="exit with 1 below this score in percent")
    chosen = parser.parse_args()
    names = [name for name in FILES if not chosen.file or name.rpartition(".")[2] in chosen.file]
    found = jobs(names)
    if chosen.sample is not None and chosen.sample < len(found):
        found = random.Random(chosen.seed).sample(found, chosen.sample)
    tests = list(dict.fromkeys(test for name in names for test in (*FILES[name], *WORLDS)))
    if pytest.main(arguments(tests)):
        print("the tests fail without a mutant; there is nothing to measure")
        return 2
    gc.freeze()
    began = time.monotonic()
    survivors = tested(found, chosen.workers)
    noted = [job for job in survivors if (job.module, job.text, job.mutant.told) in EQUIVALENT]
    score = 100 * (len(found) - len(survivors)) / max(1, len(found))
    for job in survivors:
        print(f"{'looked at' if job in noted else 'to look at'}: {job.name}: {job.text}")
    print(
        f"{len(found)} mutants in {time.monotonic() - began:.0f} s, {len(survivors)} survived ({len(noted)} of them looked at and equivalent): "
        f"score {score:.1f} %"
    )
    return 0 if score >= chosen.least else 1


if __name__ == "__main__":
    sys.exit(main())
