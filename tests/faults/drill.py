"""A drill: real processes at work, killed again and again by a plan, then quiet, then looked over."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.faults.forked_processes import Nursery
from tests.faults.invariants import Invariant, Scene, nothing_is_left_over, violations
from tests.faults.listeners import KINDS, USERS, Audience
from tests.stack import Stack, make_database

COMMAND = "django.core.management:call_command"
ROLES = {
    "worker-0": (COMMAND, "run_worker", "--model", "tone"),
    "worker-1": (COMMAND, "run_worker", "--model", "tone"),
    "results-0": (COMMAND, "run_results", "--number", "0"),
    "results-1": (COMMAND, "run_results", "--number", "1"),
    "persister": (COMMAND, "run_persister"),
    "billing": (COMMAND, "run_billing"),
    "scheduler": (COMMAND, "run_scheduler"),
}
NAIVE_ROLES = {
    **ROLES,
    "results-0": ("tests.faults.naive:results", "0"),
    "results-1": ("tests.faults.naive:results", "1"),
    "persister": ("tests.faults.naive:persister",),
    "billing": ("tests.faults.naive:billing",),
}
PATIENCE = 60.0  # seconds until nothing is on its way any more; leases of lost workers run out meanwhile
QUIET_SECONDS = 0.6  # without anything on its way: one look may fall between two steps
SETTINGS = {
    "LOG_LEVEL": "WARNING",
    "LEASE_SECONDS": "2",
    "RENEW_SECONDS": "0.5",
    "REAP_SECONDS": "0.25",
    "OPENBLAS_NUM_THREADS": "1",
}
VALKEY = "valkey"


@dataclass(frozen=True)
class Plan:
    """Whom to kill when. The seed decides this and the texts, but not how far anybody had come by then."""

    seed: int
    seconds: float
    pause: float = 0.7  # at most, between two kills of a process
    valkey_pause: tuple[float, float] = (4.0, 8.0)
    rate: float = 30.0  # blocks a second
    kinds: Mapping[str, float] = field(default_factory=lambda: KINDS)

    def kills(self, roles: Iterable[str]) -> Iterator[tuple[float, str]]:
        chance, names = random.Random(self.seed), sorted(roles)
        valkey_at = chance.uniform(*self.valkey_pause)
        at = 0.0
        while (at := at + chance.uniform(0, self.pause)) < self.seconds:
            if valkey_at <= at:
                yield valkey_at, VALKEY
                valkey_at += chance.uniform(*self.valkey_pause)
            yield at, chance.choice(names)


@dataclass
class Report:
    plan: Plan
    kills: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    ended: Counter[str] = field(default_factory=Counter)  # by themselves
    quiet_after: float = 0.0
    last: str = "nothing"  # of what was under way
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        def listed(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))

        return (
            f"DRILL_SEED={self.plan.seed}, {self.plan.seconds:g} s: {self.kills.total()} kills"
            f" ({listed(self.kills)}); {self.states.total()} blocks ({listed(self.states)}),"
            f" {self.finished} jobs; quiet after {self.quiet_after:.1f} s ({self.last});"
            f" {len(self.violations)} violations"
        )


class Drill:
    """A stack in `folder` with these roles. Enter it, run a plan or do harm by hand, `end` it, leave it."""

    def __init__(
        self, folder: Path, plan: Plan, roles: Mapping[str, tuple[str, ...]], server_url: str
    ) -> None:
        self.plan = plan
        self.roles = roles
        self.report = Report(plan)
        self.stack = Stack(folder, make_database(server_url), **SETTINGS)
        self.database_url = self.stack.env["DATABASE_URL"]

    def __enter__(self) -> "Drill":
        self.stack.start_valkey()
        self.nursery = Nursery(self.stack.env, self.stack.folder)
        for preparation in (("migrate", "-v0"), ("init_audiocache",)):
            self.nursery.start("preparation", COMMAND, *preparation)
            assert self.nursery.wait("preparation") == 0, self.stack.log("preparation")
        self._add_accounts()
        for name in self.roles:
            self.start(name)
        self.audience = Audience(self.stack.valkey.url, self.plan.seed, self.plan.rate, self.plan.kinds)
        self.audience.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.audience.leave()
        self.nursery.close()
        self.stack.close()

    def start(self, name: str) -> None:
        self.nursery.start(name, *self.roles[name])

    def run(self) -> None:
        """The whole plan."""
        begun = time.monotonic()
        for at, role in self.plan.kills(self.roles):
            self.watch(begun + at - time.monotonic())
            self.kill(role)

    def watch(self, seconds: float) -> None:
        """As a supervisor: whoever ends by itself is started again."""
        until = time.monotonic() + seconds
        while True:
            for name in self.nursery.ended():
                self.report.ended[name] += 1
                self.start(name)
            if time.monotonic() >= until:
                return
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))

    def kill(self, role: str) -> None:
        """SIGKILL, and another one at once."""
        self.report.kills[role] += 1
        if role == VALKEY:
            self.stack.kill_valkey()
            self.stack.start_valkey()
        else:
            self.nursery.kill(role)
            self.start(role)

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        """Within it the server may lose what was announced a moment ago; nobody can hold that against it."""
        self.audience.forgetful.set()
        yield
        self.watch(1.0)
        self.audience.forgetful.clear()

    def end(self, *, without: Iterable[Invariant] = (), patience: float = PATIENCE) -> Report:
        """No more kills and no more wishes: wait until all is quiet, and look."""
        begun = time.monotonic()
        self.audience.hush()
        with self.stack.redis as redis, psycopg.connect(self.database_url, autocommit=True) as database:
            notes = self.audience.notes
            scene = Scene(notes, redis, database, self.stack.folder / "audio" / "audio.sqlite3")
            stirred = begun
            while time.monotonic() < min(begun + patience, stirred + QUIET_SECONDS):
                if under_way := self._under_way(scene):
                    stirred, self.report.last = time.monotonic(), under_way[0]  # looking may take long
                self.watch(0.1)
            self.report.quiet_after = stirred - begun
            self.report.states = notes.states()
            self.report.finished = len(scene.finished())
            self.report.violations = violations(scene, without=without)
        return self.report

    def _under_way(self, scene: Scene) -> list[str]:
        return list(nothing_is_left_over(scene)) or ["listeners wait"] * (not self.audience.is_content())

    def _add_accounts(self) -> None:
        with psycopg.connect(self.database_url) as database:
            database.execute(
                "INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser,"
                " is_staff, is_active, date_joined)"
                " SELECT n, 'listener-' || n, '', '', '', '', false, false, true, now()"
                " FROM generate_series(1, %s) n",
                [USERS],
            )
