"""The worker with the handler of speech jobs: every failure ends in a definite state of the block."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import msgspec
import pytest
from redis.exceptions import ConnectionError, ResponseError

from config.redis.pipeline import Pipeline
from config.streams import StopFlag
from tests.stack import ROOT
from tests.waiting import PROCESS_PATIENCE, wait_until
from tests.yapit.jobs.job_steps import claim, enqueue, finalize, look, make_spec
from yapit.engines import END, EncodedFile
from yapit.engines.tone import ToneEngine
from yapit.engines.tone.noise import noise_file
from yapit.jobs import State
from yapit.jobs.worker import EXIT_HUNG, RunningTime, Worker
from yapit.synthesis.speech_handler import SpeechHandler

REVISION = ToneEngine.revision


def tone_spec(text="A tone, please.", **parameters):
    return make_spec(text, revision=REVISION, params=msgspec.json.encode(parameters).decode())


@pytest.fixture
def worker(redis):
    return Worker("tone", "speech", SpeechHandler("tone"), "w", redis, redis, StopFlag())


@pytest.fixture
def spawn(redis, tmp_path):
    """Starts processes of the product without database and secrets; they are killed after the test."""
    started = []

    def start(*args, **env):
        environment = {
            "PATH": os.defpath,
            "REDIS_URL": os.environ["REDIS_URL"],
            "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none",
            "STATE_DIR": str(tmp_path),
            **env,
        }
        process = subprocess.Popen([sys.executable, "manage.py", *args], cwd=ROOT, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def outcome(redis, spec):
    finalize(redis)
    return look(redis, spec)


def test_a_job_becomes_audio_with_its_duration(redis, worker):
    spec = tone_spec(ms_per_character=10)
    enqueue(redis, spec)

    assert worker.run_once()

    assert outcome(redis, spec).state is State.CACHED
    assert not worker.run_once()


def test_an_engine_error_ends_the_job_at_once(redis, worker):
    spec = tone_spec(fail="raise")
    enqueue(redis, spec)

    worker.run_once()

    assert outcome(redis, spec).detail == b"engine_failed"
    assert claim(redis) is None


def test_an_engine_that_returns_nothing_skips_the_block(redis, worker):
    spec = tone_spec(fail="nothing")
    enqueue(redis, spec)

    worker.run_once()

    assert outcome(redis, spec).state is State.SKIPPED


def test_output_that_is_not_audio_is_an_error(redis, worker):
    spec = tone_spec(fail="garbage")
    enqueue(redis, spec)

    worker.run_once()

    assert outcome(redis, spec).detail == b"bad_audio"


def test_an_engine_that_raises_is_retried_until_the_last_attempt(redis, worker, settings, caplog):
    class Broken(ToneEngine):
        def synthesize(self, text, voice, options):
            raise ZeroDivisionError

    spec = tone_spec()
    enqueue(redis, spec)
    worker.handler.engine = Broken("tone")

    attempts = 0
    while worker.run_once():
        attempts += 1

    assert attempts == settings.MAX_ATTEMPTS
    assert look(redis, spec).detail == b"engine_failed"
    assert "A tone" not in caplog.text


def test_a_job_for_another_revision_fails_here(redis, worker):
    spec = replace(tone_spec(), revision="of another age")
    enqueue(redis, spec)

    while worker.run_once():
        pass

    assert look(redis, spec).detail == b"revision_mismatch"


def test_audio_beyond_the_limit_is_refused(redis, worker, settings):
    class Long(ToneEngine):
        def synthesize(self, text, voice, options):
            yield EncodedFile(large)
            yield END

    spec = tone_spec()
    enqueue(redis, spec)
    worker.handler.engine = Long("tone")
    large, _ = noise_file(200_000, "")
    settings.MAX_AUDIO_BYTES = len(large) - 1

    worker.run_once()

    assert outcome(redis, spec).detail == b"audio_too_large"


def test_a_finished_result_survives_an_outage_of_redis(redis, worker):
    spec = tone_spec()
    enqueue(redis, spec)
    worker.pipeline = Interrupted(redis, times=3)

    worker.run_once()

    assert outcome(redis, spec).state is State.CACHED


class Interrupted(Pipeline):
    """Fails a number of times before it works."""

    def __init__(self, redis, times, error=ConnectionError("gone")):  # noqa: B008
        super().__init__(redis.connection_pool.make_connection())
        self.times, self.error = times, error

    def exchange(self, commands):
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return super().exchange(commands)


def test_a_worker_processes_all_queued_jobs(redis, worker):
    specs = [tone_spec(f"tone {i}", ms_per_character=1) for i in range(5)]
    for spec in specs:
        enqueue(redis, spec)
    worker.blocking = StopsTheIdle(worker)

    worker.run()

    assert [outcome(redis, spec).state for spec in specs] == [State.CACHED] * 5


class StopsTheIdle:
    """Replaces the blocking client: stops the worker when no job is left."""

    def __init__(self, worker):
        self.worker = worker

    def blpop(self, *args, **options):
        self.worker.stop.is_set = True


@pytest.mark.slow
def test_the_lease_of_a_long_job_is_renewed(redis, spawn):
    """The job takes three times as long as a lease."""
    spec = tone_spec(delay_ms=3000)
    spawn("run_scheduler", LEASE_SECONDS="1", RENEW_SECONDS="0.2")
    spawn("run_worker", "--model", "tone", LEASE_SECONDS="1", RENEW_SECONDS="0.2")
    enqueue(redis, spec)

    wait_until(lambda: redis.xlen("results"), 30)

    [attempts] = redis.hmget(redis.keys("job:*")[0], "attempts")
    assert attempts == b"1"


def test_workers_and_results_run_without_database_and_secrets(redis, spawn):
    spec = tone_spec()
    spawn("run_results")
    spawn("run_worker", "--model", "tone")

    enqueue(redis, spec)

    wait_until(lambda: look(redis, spec).state is State.CACHED, PROCESS_PATIENCE)


def test_a_job_that_kills_three_workers_ends(redis, spawn):
    spec = tone_spec(fail="die")
    spawn("run_scheduler", LEASE_SECONDS="1", RENEW_SECONDS="0.2")
    enqueue(redis, spec)

    for _ in range(3):
        spawn("run_worker", "--model", "tone", LEASE_SECONDS="1", RENEW_SECONDS="0.2").wait(PROCESS_PATIENCE)

    wait_until(lambda: look(redis, spec).detail == b"worker_lost")


def test_a_hanging_engine_ends_its_process_and_the_third_one_the_job(redis, spawn):
    spec = tone_spec(fail="hang")
    limits = {"JOB_DEADLINE_SECONDS": "0.5", "JOB_DEADLINE_PER_CHARACTER": "0"}
    enqueue(redis, spec)

    codes = [spawn("run_worker", "--model", "tone", **limits).wait(PROCESS_PATIENCE) for _ in range(3)]

    assert codes == [EXIT_HUNG] * 3
    assert look(redis, spec).detail == b"engine_hung"


def test_a_stopped_worker_finishes_its_current_job(redis, spawn):
    spec = tone_spec(delay_ms=1500)
    enqueue(redis, spec)
    process = spawn("run_worker", "--model", "tone")
    wait_until(lambda: redis.exists("leases"), PROCESS_PATIENCE)

    process.send_signal(signal.SIGTERM)

    assert process.wait(PROCESS_PATIENCE) == 0
    assert outcome(redis, spec).state is State.CACHED


def test_a_stopped_worker_releases_a_long_job(redis, spawn):
    spec = tone_spec(delay_ms=60_000)
    enqueue(redis, spec)
    process = spawn("run_worker", "--model", "tone")
    wait_until(lambda: redis.exists("leases"), PROCESS_PATIENCE)

    process.send_signal(signal.SIGTERM)

    assert process.wait(PROCESS_PATIENCE) == 0
    assert claim(redis, "other").attempt == 1


def test_running_time_excludes_time_in_which_the_process_was_stopped():
    now = [1000.0]
    clock = RunningTime(lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + 60))
    begun = clock()

    clock.tick(0.1)

    assert clock() - begun == RunningTime.LONGEST_TICK


@pytest.mark.parametrize(
    "refusal", ["MISCONF Errors writing to the AOF file", "BUSY Valkey is busy running a script"]
)
def test_transient_redis_errors_are_waited_out(redis, worker, refusal):
    spec = tone_spec()
    enqueue(redis, spec)
    worker.pipeline = Interrupted(redis, times=2, error=ResponseError(refusal))

    worker.run_once()

    assert outcome(redis, spec).state is State.CACHED


def test_permanent_redis_errors_are_raised(redis, worker):
    enqueue(redis, tone_spec())
    worker.pipeline = Interrupted(redis, times=2, error=ResponseError("WRONGTYPE"))

    with pytest.raises(ResponseError):
        worker.run_once()
