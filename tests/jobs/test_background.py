from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator

import pytest
from typing_extensions import override

from ecrate.jobs.background import Background, Job, MayGoOn
from ecrate.operations.core import Core
from ecrate.operations.leases import take_lease
from tests.support.core import Bench

PATIENCE = 10.0


class Work:
    """Counts its rounds, and lets a test wait for one."""

    def __init__(self) -> None:
        self.rounds = 0
        self.has_run = threading.Event()

    def run(self, core: Core, may_go_on: MayGoOn) -> bool:
        del core
        assert may_go_on()
        self.rounds += 1
        self.has_run.set()
        return False


class FailsOnce(Work):
    @override
    def run(self, core: Core, may_go_on: MayGoOn) -> bool:
        super().run(core, may_go_on)
        if self.rounds == 1:
            raise RuntimeError
        return False


class LongWork(Work):
    """Notes when each batch begins; there is always more to do."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[float] = []

    @override
    def run(self, core: Core, may_go_on: MayGoOn) -> bool:
        self.begun.append(time.monotonic())
        time.sleep(0.02)
        if len(self.begun) == 4:
            self.has_run.set()
        return True


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def background(bench: Bench, work: Work) -> Iterator[Background]:
    background = Background(bench.core, [Job("a job", 0.01, work.run)])
    background.start()
    yield background
    background.stop()


@pytest.mark.usefixtures("background")
def test_job_runs_again_and_again(work: Work) -> None:
    for _ in range(3):
        assert work.has_run.wait(PATIENCE)
        work.has_run.clear()

    assert work.rounds >= 3


def test_job_rests_for_as_long_as_it_is_told(bench: Bench) -> None:
    work = LongWork()
    background = Background(bench.core, [Job("a job", 0.01, work.run, rest=4)])
    background.start()
    assert work.has_run.wait(PATIENCE)
    background.stop()

    gaps = [after - before for before, after in itertools.pairwise(work.begun)]
    assert min(gaps) >= 0.02 * (1 + 4)


def test_job_is_at_work_in_one_place(bench: Bench, work: Work) -> None:
    take_lease(bench.core, "a job", "another worker")
    background = Background(bench.core, [Job("a job", 0.01, work.run)])
    background.start()
    ran_beside = work.has_run.wait(0.2)

    bench.clock.advance(61)

    assert work.has_run.wait(PATIENCE)
    assert not ran_beside
    background.stop()


def test_job_that_ends_lets_others_begin_at_once(
    bench: Bench, background: Background, work: Work
) -> None:
    assert work.has_run.wait(PATIENCE)

    background.stop()

    assert take_lease(bench.core, "a job", "another worker")


def test_job_that_failed_does_not_end_the_others(
    bench: Bench, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    failing = FailsOnce()
    jobs = [Job("failing", 0.01, failing.run), Job("well", 0.01, work.run)]
    background = Background(bench.core, jobs)
    background.start()
    assert failing.has_run.wait(PATIENCE)
    work.has_run.clear()

    assert work.has_run.wait(PATIENCE)

    background.stop()
    assert "the job 'failing' failed" in caplog.text
