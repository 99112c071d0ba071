"""The drill: real processes under load are killed by a plan; then the invariants are checked."""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.faults.clients import KINDS, USERS, SimulatedClients
from tests.faults.forkserver import ForkServer
from tests.faults.invariants import FinalState, Invariant, nothing_is_left_over, violations
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
PATIENCE = 60.0  # seconds for all work to finish, leases of killed workers included
QUIET_SECONDS = 0.6  # without unfinished work: a single check may fall between two steps
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
    """Kills by time. The seed determines them and the texts, not the progress of the processes."""

    seed: int
    seconds: float
    pause: float = 0.7  # maximum between two kills of processes
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
    exits: Counter[str] = field(default_factory=Counter)  # processes that ended without a kill
    quiet_after: float = 0.0
    last: str = "nothing"  # unfinished work that was seen last
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
    """Context manager: a stack in `folder` with these roles. Run the plan or inject faults, then `end` it."""

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
        self.forkserver = ForkServer(self.stack.env, self.stack.folder)
        for preparation in (("migrate", "-v0"), ("init_audiocache",)):
            self.forkserver.start("preparation", COMMAND, *preparation)
            assert self.forkserver.wait("preparation") == 0, self.stack.log("preparation")
        self._add_accounts()
        for name in self.roles:
            self.start(name)
        self.clients = SimulatedClients(
            self.stack.valkey.url, self.plan.seed, self.plan.rate, self.plan.kinds
        )
        self.clients.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.clients.close()
        self.forkserver.close()
        self.stack.close()

    def start(self, name: str) -> None:
        self.forkserver.start(name, *self.roles[name])

    def run(self) -> None:
        """Run the whole plan."""
        begun = time.monotonic()
        for at, role in self.plan.kills(self.roles):
            self.watch(begun + at - time.monotonic())
            self.kill(role)

    def watch(self, seconds: float) -> None:
        """Wait, and restart processes that end, as the supervisor does."""
        until = time.monotonic() + seconds
        while True:
            for name in self.forkserver.ended():
                self.report.exits[name] += 1
                self.start(name)
            if time.monotonic() >= until:
                return
            time.sleep(min(0.05, max(0.0, until - time.monotonic())))

    def kill(self, role: str) -> None:
        """SIGKILL a process and start it again."""
        self.report.kills[role] += 1
        if role == VALKEY:
            self.stack.kill_valkey()
            self.stack.start_valkey()
        else:
            self.forkserver.kill(role)
            self.start(role)

    @contextmanager
    def losing_state(self) -> Iterator[None]:
        """Within it Redis may lose announced audio, which then is no violation."""
        self.clients.may_lose_state.set()
        yield
        self.watch(1.0)
        self.clients.may_lose_state.clear()

    def end(self, *, without: Iterable[Invariant] = (), patience: float = PATIENCE) -> Report:
        """Stop requesting, wait until no work is unfinished, and check the invariants."""
        begun = time.monotonic()
        self.clients.stop_requesting()
        with self.stack.redis as redis, psycopg.connect(self.database_url, autocommit=True) as database:
            log = self.clients.log
            state = FinalState(log, redis, database, self.stack.folder / "audio" / "audio.sqlite3")
            busy_at = begun
            while time.monotonic() < min(begun + patience, busy_at + QUIET_SECONDS):
                if unfinished := self._unfinished(state):
                    busy_at, self.report.last = time.monotonic(), unfinished[0]  # the check may take long
                self.watch(0.1)
            self.report.quiet_after = busy_at - begun
            self.report.states = log.states()
            self.report.finished = len(state.finished())
            self.report.violations = violations(state, without=without)
        return self.report

    def _unfinished(self, state: FinalState) -> list[str]:
        return list(nothing_is_left_over(state)) or ["clients wait"] * (not self.clients.is_idle())

    def _add_accounts(self) -> None:
        with psycopg.connect(self.database_url) as database:
            database.execute(
                "INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser,"
                " is_staff, is_active, date_joined)"
                " SELECT n, 'user-' || n, '', '', '', '', false, false, true, now()"
                " FROM generate_series(1, %s) n",
                [USERS],
            )
