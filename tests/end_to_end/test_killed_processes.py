"""A listener on a real socket, whose processes are killed one after the other while it waits."""

import psycopg
import pytest

from tests.end_to_end.raw_socket import RawSocket
from tests.stack import Stack
from tests.waiting import PROCESS_PATIENCE, wait_until

pytestmark = pytest.mark.slow

SWITCH_TONE_ON = (
    "from yapit.models import TTSModel; TTSModel.objects.filter(slug='tone').update(is_active=True)"
)
VOICE = {"model": "tone", "voice": "sine"}
NEVER = "3600"


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    stack = Stack.launch(tmp_path_factory.mktemp("stack"), LEASE_SECONDS="4", RENEW_SECONDS="1")
    stack.manage("shell", "-v0", "-c", SWITCH_TONE_ON)
    stack.start_cold()
    stack.start_web()
    yield stack
    stack.close()


@pytest.fixture
def document(stack, request):
    """A text of its own: what another test had spoken would be there at once."""
    return stack.make_document(f"For {request.node.name}.")


@pytest.fixture
def worker(stack):
    """Call it to have the work done."""
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
def without_second_looks(stack):
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


def ask(listener, document):
    listener.ask(document["id"], [0], **VOICE)
    return listener.frame()


def assert_heard_once(stack, listener, document):
    frame = listener.frame()
    assert (frame["status"], frame["block_idx"]) == ("cached", 0), frame
    assert stack.get(frame["audio_url"])[0] == 200
    until_charged(stack)
    assert charges(stack, document) == 1
    with pytest.raises(TimeoutError):
        listener.frame(0.5)


def test_a_results_consumer_killed_with_the_result_unread_is_made_up_for(stack, document, worker):
    stack.kill("results")
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        worker()
        wait_until(lambda: in_redis(stack, lambda redis: redis.xlen("results")), PROCESS_PATIENCE)

        stack.start("results")

        assert_heard_once(stack, listener, document)


def test_a_web_process_killed_is_asked_again_and_the_work_is_joined(stack, document, worker):
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
    [job] = in_redis(stack, lambda redis: redis.keys("job:*"))
    stack.kill("web")
    stack.start_web()
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        assert in_redis(stack, lambda redis: redis.keys("job:*")) == [job]
        worker()

        assert_heard_once(stack, listener, document)


def test_audio_that_is_finished_while_the_web_process_is_away_is_kept(stack, document, worker):
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        stack.kill("web")
    worker()
    wait_until(lambda: not in_redis(stack, lambda redis: redis.keys("job:*")), PROCESS_PATIENCE)
    until_charged(stack)
    stack.start_web()
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "cached"
    assert charges(stack, document) == 1


def test_a_killed_worker_is_followed_by_another(stack, document, worker):
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        claim_and_die(stack)
        worker()

        assert_heard_once(stack, listener, document)


def claim_and_die(stack):
    code = (
        "from config.redis import clients; from yapit import jobs; "
        "assert jobs.claim(clients.sync(), 'tone', 'gone')"
    )
    stack.manage("shell", "-v0", "-c", code)


def test_a_killed_valkey_comes_back_with_the_request(stack, document, worker):
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        stack.kill_valkey()
        stack.start_valkey()
        worker()

        assert_heard_once(stack, listener, document)


def empty_redis(stack):
    in_redis(stack, lambda redis: redis.flushall())


def test_an_emptied_redis_is_asked_again(stack, document, worker):
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        empty_redis(stack)
        worker()

        assert_heard_once(stack, listener, document)


def test_a_bell_that_does_not_ring_is_made_up_for(stack, document, worker):
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        nobody_is_told(stack)
        worker()

        assert_heard_once(stack, listener, document)


def nobody_is_told(stack):
    """Whom a bell would reach is forgotten, and nothing else."""
    in_redis(stack, lambda redis: redis.delete(*redis.keys("subs:*")))


@pytest.mark.parametrize("lose", [nobody_is_told, empty_redis])
def test_without_second_looks_both_would_be_waited_for_in_vain(
    stack, document, worker, without_second_looks, lose
):
    """The control of the two above."""
    with RawSocket(stack) as listener:
        assert ask(listener, document)["status"] == "queued"
        lose(stack)
        worker()
        wait_until(lambda: in_redis(stack, lambda redis: not redis.keys("job:*")), PROCESS_PATIENCE)

        with pytest.raises(TimeoutError):
            listener.frame(4)
