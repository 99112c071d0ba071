"""Hundreds of SIGKILLs at random moments: no acknowledged audio is lost, and no batch is stored in part.

KILLS and KILL_SEED in the environment set the number of kills and repeat a run.
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
PER_LIFE = 40  # entries for each persister
FIRST_LIFE = 0.08  # seconds until the first kill at most; adapted from kill to kill
LONGEST_LIFE = 2.0


class PersisterForks:
    """Forks persisters and kills them; see forked_persister.py."""

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
        time.sleep(seconds)  # a random moment
        os.kill(child, signal.SIGKILL)
        assert self.process.stdout.readline() == "ended\n"

    def batches(self) -> list[set[str]]:
        return [set(line.split(",")) for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(PROCESS_PATIENCE)
        self.process.stdout.close()


class Checker:
    """Compares the audio given to persisters with the contents of the store."""

    def __init__(self, redis, open_store) -> None:
        self.redis = redis
        self.store = open_store()
        self.given = {}
        self.checked = set()
        self.before = set()
        self.known_batches = 0
        self.killed_in_batch = 0  # between the beginning of a batch and the last acknowledgement of it
        self.violations = []

    def give(self, chance: random.Random) -> None:
        with self.redis.pipeline(transaction=False) as pipe:
            for _ in range(PER_LIFE):
                one = sound(len(self.given), chance.randint(500, 20_000))
                self.given[one.hash] = one
                pipe.set(f"audio:{one.hash}", one.blob)
                pipe.incrby("unpersisted", len(one.blob))
                entry = {"hash": one.hash, "alias": "audio", "size": len(one.blob), "job": b"nonsense"}
                pipe.xadd("persist", entry)
            pipe.execute()

    def check(self, batches: list[set[str]]) -> bool:
        """Record violations. Whether any audio is left to store."""
        waiting = {fields[b"hash"].decode() for _, fields in self.redis.xrange("persist")}
        stored = self.store.exists_many(list(self.given))
        acknowledged = self.given.keys() - waiting
        self._record("lost", acknowledged - stored)
        unchecked = acknowledged & stored - self.checked
        self._record("damaged", {name for name in unchecked if not self._is_whole(name)})
        self._check_last_batch(batches, stored, waiting)
        stats = self.store.stats()
        if (stats.bytes, stats.entries, stats.pinned_bytes) != totals_by_counting(self.store):
            self.violations.append("totals")
        if gone := acknowledged - self.checked:
            self.redis.delete(*(f"audio:{name}" for name in gone))
        self.checked |= acknowledged & stored
        return bool(waiting)

    def _check_last_batch(self, batches: list[set[str]], stored: set[str], waiting: set[str]) -> None:
        """The batch in hand at the kill is stored whole or not at all, apart from entries stored earlier."""
        fresh = batches[self.known_batches :]
        self.known_batches = len(batches)
        if not fresh:
            return
        new = fresh[-1].difference(self.before, *fresh[:-1])
        if new & stored and new - stored:
            self._record("partial", new - stored)
        self.before |= stored
        self.killed_in_batch += bool(fresh[-1] & waiting)

    def _is_whole(self, name: str) -> bool:
        found = self.store.get(name)
        return found is not None and found.audio == self.given[name].audio

    def _record(self, what: str, names: set[str]) -> None:
        if names:
            self.violations.append(f"{what}: {len(names)}")


@pytest.fixture
def forks(files):
    forks = PersisterForks(files)
    yield forks
    forks.close()


@pytest.fixture
def checker(redis, open_store):
    return Checker(redis, open_store)


def kill(forks, checker, kind, kills) -> int:
    """Kill persisters until a violation shows, `kills` times at most. Return the number of kills."""
    chance = random.Random(SEED)
    longest = FIRST_LIFE
    for number in range(kills):
        checker.give(chance)
        forks.live_and_die(kind, chance.uniform(0.0, longest))
        waiting = checker.check(forks.batches())
        if checker.violations:
            return number + 1
        # About half of the kills should come before all is stored, on any machine.
        longest = min(LONGEST_LIFE, longest * (1.1 if waiting else 0.9))
    return kills


def test_no_kill_loses_audio(forks, checker, redis):
    kills = kill(forks, checker, "right", KILLS)
    assert not checker.violations, f"seed {SEED}, kill {kills}: {checker.violations}"
    assert checker.killed_in_batch > kills // 20  # neither always too early nor always too late

    subprocess.run(
        [sys.executable, str(MANAGE), "run_persister", "--drain"],
        env={**os.environ, "AUDIO_DIR": str(forks.log.parent)},
        check=True,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: redis.xlen("persist") == 0)
    checker.check(forks.batches())

    assert not checker.violations
    assert checker.checked == checker.given.keys()
    assert redis.get("unpersisted") == b"0"


@pytest.mark.parametrize(("kind", "found"), [("torn", "partial"), ("hasty", "lost")])
def test_the_checker_finds_faults(forks, checker, kind, found):
    """Shows that the test above can fail."""
    kill(forks, checker, kind, KILLS)

    assert any(violation.startswith(found) for violation in checker.violations)
