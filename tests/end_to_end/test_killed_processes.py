"""A listener on a real socket while processes are killed: each block still ends and is charged once."""

import psycopg
import pytest

from tests.end_to_end.frame_socket import FrameSocket
from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow

ACTIVATE_TONE = (
    "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
)
VOICE = {"model": "tone", "voice": "sine"}
NEVER = "3600"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    stack = Stack.launch(tmp_path_factory.mktemp("stack"), LEASE_SECONDS="4", RENEW_SECONDS="1")
    stack.manage("shell", "-v0", "-c", ACTIVATE_TONE)
    stack.start_cold()
    stack.start_web()
    yield stack
    stack.close()


@pytest.fixture
def document(stack, request):
    """A document with a unique text, which no other test has cached."""
    return stack.make_document(f"For {request.node.name}.")


@pytest.fixture
def worker(stack):
    """A function that starts a worker."""
    started = []

    def start():
        started.append(stack.start("worker", "run_worker", "--model", "tone"))

    yield start
    if started and "worker" in stack.processes:
        stack.stop("worker")


def in_redis(stack, read):
    with stack.redis as redis:
        return read(redis)


@pytest.fixture
def without_resync(stack):
    stack.stop("web")
    stack.start_web(RESYNC_SECONDS=NEVER)
    yield
    stack.stop("web")
    stack.start_web()


def charges(stack, document):
    with psycopg.connect(stack.env["DATABASE_URL"]) as connection:
        counting = "SELECT count(*) FROM billing_ledgerentry WHERE document = %s"
        return connection.execute(counting, [document["id"]]).fetchone()[0]


def until_charged(stack):
    wait_until(lambda: in_redis(stack, lambda redis: redis.xlen("billing") == 0), PROCESS_PATIENCE)


def request(listener, document):
    listener.synthesize(document["id"], [0], **VOICE)
    return listener.frame()


def assert_cached_and_charged_once(stack, listener, document):
    frame = listener.frame()
    assert (frame["status"], frame["block_idx"]) == ("cached", 0), frame
    assert stack.get(frame["audio_url"])[0] == 200
    until_charged(stack)
    assert charges(stack, document) == 1
    with pytest.raises(TimeoutError):
        listener.frame(0.5)


def test_a_result_is_finished_after_a_restart_of_the_killed_consumer(stack, document, worker):
    stack.kill("results")
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        worker()
        wait_until(lambda: in_redis(stack, lambda redis: redis.xlen("results")), PROCESS_PATIENCE)

        stack.start("results")

        assert_cached_and_charged_once(stack, listener, document)


def test_a_request_after_a_killed_web_process_joins_the_job(stack, document, worker):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
    [job] = in_redis(stack, lambda redis: redis.keys("job:*"))
    stack.kill("web")
    stack.start_web()
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        assert in_redis(stack, lambda redis: redis.keys("job:*")) == [job]
        worker()

        assert_cached_and_charged_once(stack, listener, document)


def test_audio_finished_without_a_web_process_is_cached(stack, document, worker):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        stack.kill("web")
    worker()
    wait_until(lambda: not in_redis(stack, lambda redis: redis.keys("job:*")), PROCESS_PATIENCE)
    until_charged(stack)
    stack.start_web()
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "cached"
    assert charges(stack, document) == 1


def test_the_job_of_a_killed_worker_is_done_by_another(stack, document, worker):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        claim_and_die(stack)
        worker()

        assert_cached_and_charged_once(stack, listener, document)


def claim_and_die(stack):
    code = (
        "from config.redis import clients; from yapit import jobs; "
        "assert jobs.claim(clients.sync(), 'tone', 'gone')"
    )
    stack.manage("shell", "-v0", "-c", code)


def test_a_restarted_valkey_still_has_the_request(stack, document, worker):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        stack.kill_valkey()
        stack.start_valkey()
        worker()

        assert_cached_and_charged_once(stack, listener, document)


def empty_redis(stack):
    in_redis(stack, lambda redis: redis.flushall())


def test_a_request_lost_by_redis_is_enqueued_again(stack, document, worker):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        empty_redis(stack)
        worker()

        assert_cached_and_charged_once(stack, listener, document)


def test_a_lost_notification_is_replaced_by_a_resync(stack, document, worker):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        drop_subscribers(stack)
        worker()

        assert_cached_and_charged_once(stack, listener, document)


def drop_subscribers(stack):
    """Delete the subscribers of all jobs, so that no notification is published."""
    in_redis(stack, lambda redis: redis.delete(*redis.keys("subs:*")))


@pytest.mark.parametrize("lose", [drop_subscribers, empty_redis])
def test_control_without_resync_both_losses_leave_the_block_pending(
    stack, document, worker, without_resync, lose
):
    with FrameSocket(stack) as listener:
        assert request(listener, document)["status"] == "queued"
        lose(stack)
        worker()
        wait_until(lambda: in_redis(stack, lambda redis: not redis.keys("job:*")), PROCESS_PATIENCE)

        with pytest.raises(TimeoutError):
            listener.frame(4)
