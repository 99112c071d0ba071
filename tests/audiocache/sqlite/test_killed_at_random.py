"""SIGKILL at random moments, hundreds of times: nothing acknowledged is lost, no batch is there in part.

KILLS and KILL_SEED in the environment ask for more of them, or for the same ones again.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.audiocache.audio_blobs import sound
from tests.audiocache.files import MANAGE
from tests.audiocache.raw_file import totals_by_counting
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("KILLS", "220"))
SEED = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1, 10**9)
A_ROUND = 40  # sounds for each life
FIRST_LIFE = 0.08  # seconds at most; how long a life takes that is worth ending is found out
LONGEST_LIFE = 2.0


class Nursery:
    """Starts persisters and kills them; see killable.py."""

    def __init__(self, files) -> None:
        self.log = files / "batches"
        self.log.touch()
        environment = {**os.environ, "AUDIO_DIR": str(files), "COLD_PAUSE_SECONDS": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.audiocache.forked_persister", str(self.log)],
            env=environment,
            cwd=MANAGE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live_and_die(self, kind: str, seconds: float) -> None:
        self.process.stdin.write(f"{kind}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        time.sleep(seconds)  # nothing to wait for: the moment is to be any
        os.kill(child, signal.SIGKILL)
        assert self.process.stdout.readline() == "ended\n"

    def batches(self) -> list[set[str]]:
        return [set(line.split(",")) for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(PROCESS_PATIENCE)
        self.process.stdout.close()


class Checker:
    """Knows what was handed over, and compares it with what is there."""

    def __init__(self, redis, open_store) -> None:
        self.redis = redis
        self.store = open_store()
        self.given = {}
        self.checked = set()
        self.before = set()
        self.known_batches = 0
        self.killed_at_work = 0  # between the beginning of a batch and the last acknowledgement of it
        self.violations = []

    def give(self, chance: random.Random) -> None:
        with self.redis.pipeline(transaction=False) as pipe:
            for _ in range(A_ROUND):
                one = sound(len(self.given), chance.randint(500, 20_000))
                self.given[one.hash] = one
                pipe.set(f"audio:{one.hash}", one.blob)
                pipe.incrby("unpersisted", len(one.blob))
                pipe.xadd("persist", {"hash": one.hash, "size": len(one.blob), "job": b"nonsense"})
            pipe.execute()

    def look(self, batches: list[set[str]]) -> bool:
        """Note what is wrong. Whether anything is left to store."""
        waiting = {fields[b"hash"].decode() for _, fields in self.redis.xrange("persist")}
        there = self.store.exists_many(list(self.given))
        let_go = self.given.keys() - waiting
        self._say("lost", let_go - there)
        self._say("damaged", {name for name in let_go & there - self.checked if not self._is_whole(name)})
        self._look_at_the_last(batches, there, waiting)
        stats = self.store.stats()
        if (stats.bytes, stats.entries, stats.pinned_bytes) != totals_by_counting(self.store):
            self.violations.append("totals")
        if gone := let_go - self.checked:
            self.redis.delete(*(f"audio:{name}" for name in gone))
        self.checked |= let_go & there
        return bool(waiting)

    def _look_at_the_last(self, batches: list[set[str]], there: set[str], waiting: set[str]) -> None:
        """Of the batch that was at work, all is there or nothing, whatever an earlier one had stored."""
        fresh = batches[self.known_batches :]
        self.known_batches = len(batches)
        if not fresh:
            return
        new = fresh[-1].difference(self.before, *fresh[:-1])
        if new & there and new - there:
            self._say("partial", new - there)
        self.before |= there
        self.killed_at_work += bool(fresh[-1] & waiting)

    def _is_whole(self, name: str) -> bool:
        found = self.store.get(name)
        return found is not None and found.audio == self.given[name].audio

    def _say(self, what: str, names: set[str]) -> None:
        if names:
            self.violations.append(f"{what}: {len(names)}")


@pytest.fixture
def nursery(files):
    nursery = Nursery(files)
    yield nursery
    nursery.close()


@pytest.fixture
def checker(redis, open_store):
    return Checker(redis, open_store)


def kill(nursery, checker, kind, kills) -> int:
    """Until a violation shows, at most so often; how often it was."""
    chance = random.Random(SEED)
    longest = FIRST_LIFE
    for number in range(kills):
        checker.give(chance)
        nursery.live_and_die(kind, chance.uniform(0.0, longest))
        waiting = checker.look(nursery.batches())
        if checker.violations:
            return number + 1
        # Half of them are to end before all is done, whatever the machine.
        longest = min(LONGEST_LIFE, longest * (1.1 if waiting else 0.9))
    return kills


def test_nothing_is_lost_however_often_it_is_killed(nursery, checker, redis):
    kills = kill(nursery, checker, "right", KILLS)
    assert not checker.violations, f"seed {SEED}, kill {kills}: {checker.violations}"
    assert checker.killed_at_work > kills // 20  # neither always too early nor always too late

    subprocess.run(
        [sys.executable, str(MANAGE), "run_persister", "--drain"],
        env={**os.environ, "AUDIO_DIR": str(nursery.log.parent)},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: redis.xlen("persist") == 0)
    checker.look(nursery.batches())

    assert not checker.violations
    assert checker.checked == checker.given.keys()
    assert redis.get("unpersisted") == b"0"


@pytest.mark.parametrize(("kind", "found"), [("torn", "partial"), ("hasty", "lost")])
def test_the_checker_finds_the_mistake(nursery, checker, kind, found):
    """Shows that the test above can fail."""
    kill(nursery, checker, kind, KILLS)

    assert any(said.startswith(found) for said in checker.violations)
