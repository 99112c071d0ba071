"""Warming, with a real Valkey and SQLite; a thread stands for the worker and the persister."""

import contextlib
import threading
from collections.abc import Iterator
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from audiocache.persister import PersistHandler
from audiocache.sqlite import SqliteStore
from config.streams import StreamConsumer
from tests.audiocache.files import copy_files
from tests.waiting import wait_until
from tests.yapit.factories import make_document, make_model, make_user, make_variant, make_voice
from tests.yapit.jobs.job_steps import (
    enqueue,
    finalize,
    finish,
    make_blob,
    make_spec,
    submit_error,
    submit_nothing,
    text_of,
)
from yapit import jobs
from yapit.catalog import previews, resolution
from yapit.management.commands import warm_audio
from yapit.synthesis import block_cache, warming
from yapit.synthesis.warming import Warming

pytestmark = pytest.mark.django_db
MODEL = "warmed"


@pytest.fixture
def store(tmp_path, monkeypatch) -> Iterator[SqliteStore]:
    store = SqliteStore(copy_files(tmp_path / "files") / "audio.sqlite3", 10**6)
    monkeypatch.setattr(warm_audio, "store_for", lambda alias: store)
    yield store
    store.close()


@pytest.fixture
def operator(redis):
    resolution.forget()
    yield make_user(is_superuser=True)
    resolution.forget()


@pytest.fixture
def voice(operator):
    return make_voice("warm/voice", model=make_model(MODEL), language="de-AT")


@contextlib.contextmanager
def pipeline(redis, store, make=finish):
    """Process jobs and store their audio in a thread, until the end of the `with` block."""
    is_over = threading.Event()

    def run():
        store.open_writer()
        persister = StreamConsumer(PersistHandler({"audio": store}, redis), redis)
        while not is_over.wait(0.01):
            while job := jobs.claim(redis, MODEL, "w"):
                make(redis, job)
            persister.run_once(wait=False)
        store.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def warm(*arguments, **options) -> str:
    out = StringIO()
    call_command("warm_audio", *arguments, stdout=out, **options)
    return out.getvalue()


def hash_of(text, voice, user):
    return block_cache.job_spec(text, resolution.resolve(None, voice.slug, user.pk)).hash


def test_previews_are_synthesized_stored_and_pinned(redis, store, operator, voice):
    with pipeline(redis, store):
        output = warm()

    assert output == "1 pinned; 1 in all\n"
    assert store.pins([hash_of(previews.sentence("de"), voice, operator)]) == {
        hash_of(previews.sentence("de"), voice, operator): True
    }


def test_warming_is_not_billed(redis, store, operator, voice):
    with pipeline(redis, store):
        warm("--previews")

    assert [fields[b"billable"] for _, fields in redis.xrange("billing")] == [b"0"]
    assert not redis.exists("finished", f"reserved:{operator.pk}")


def test_a_document_is_warmed_in_the_given_voices(redis, store, operator, voice):
    other = make_voice("warm/other", model=voice.model)
    document = make_document(operator, "One.", "Two.")

    with pipeline(redis, store):
        output = warm("--document", str(document.pk), "--voice", voice.slug, "--voice", other.slug)

    hashes = [hash_of(text, each, operator) for text in ("One.", "Two.") for each in (voice, other)]
    assert output == "4 pinned; 4 in all\n"
    assert store.pins(hashes) == dict.fromkeys(hashes, True)


def test_repeating_a_finished_run_creates_no_jobs(redis, store, voice):
    with pipeline(redis, store):
        warm()
    before = redis.get("job-number")

    assert warm() == "1 pinned; 1 in all\n"  # without a worker
    assert redis.get("job-number") == before


def test_warming_can_be_restarted_after_any_step(redis, store, operator, voice):
    document = make_document(operator, *(f"Block {number}." for number in range(20)))

    def last_step():
        """A new object for each step: nothing is kept in memory between two steps."""
        warmer = Warming(redis, store, warming.of_document(document.pk, voice.slug))
        warmer.step()
        return None if warmer.left else warmer

    with pipeline(redis, store):
        warmer = wait_until(last_step)

    assert warmer.outcomes == {"pinned": 20}
    assert store.stats().entries == 20


def test_without_workers_it_fails_with_advice_and_the_jobs_stay_queued(redis, store, voice):
    with pytest.raises(CommandError, match="Do run_worker, run_results and run_persister run"):
        warm(wait=0.0)

    assert redis.exists("queue:warmed:~warm")
    with pipeline(redis, store):
        assert "1 pinned" in warm()


def test_jobs_of_listeners_are_claimed_first(redis, store, voice):
    Warming(redis, store, warming.of_voices()).step()
    enqueue(redis, make_spec("For a listener.", model=MODEL))

    assert text_of(jobs.claim(redis, MODEL, "w")) == "For a listener."
    assert text_of(jobs.claim(redis, MODEL, "w")) == previews.sentence("de")


def test_warming_waits_while_too_much_audio_is_not_stored(redis, store, voice, settings):
    redis.set("unpersisted", settings.UNPERSISTED_LIMIT + 1)
    warmer = Warming(redis, store, warming.of_voices())

    warmer.step()
    assert not redis.exists("queue:warmed")

    redis.delete("unpersisted")
    warmer.step()
    assert redis.exists("queue:warmed")


def test_entries_above_the_limit_of_pinned_bytes_are_reported(redis, store, voice):
    def make_large(redis, job):
        finish(redis, job, audio=make_blob(bytes(600_000)))  # more than half of the limit

    with pipeline(redis, store, make_large):
        assert warm() == "1 no room to pin; 1 in all\n"


def test_failed_blocks_do_not_stop_the_others(redis, store, operator, voice):
    document = make_document(operator, "Good.", "Bad.", "Empty.")

    def make(redis, job):
        if text_of(job) == "Good.":
            finish(redis, job)
        elif text_of(job) == "Bad.":
            submit_error(redis, job.id, "w", "engine_failed")
        else:
            submit_nothing(redis, job.id, "w")
        finalize(redis)

    with pipeline(redis, store, make):
        output = warm("--document", str(document.pk), "--voice", voice.slug)

    assert output == "1 failed (engine_failed), 1 nothing to say, 1 pinned; 3 in all\n"


def test_pinned_audio_of_a_corrupt_file_is_made_again(redis, store, operator, voice):
    document = make_document(operator, "Was pinned.", "Was not.")
    preview, block = (
        hash_of(previews.sentence("de"), voice, operator),
        hash_of("Was pinned.", voice, operator),
    )
    make_variant(block, voice=voice.slug, model=MODEL, characters=len("Was pinned."))
    names = [preview, block, "e" * 64]
    store.path.with_name("audio.sqlite3.pinned-20260101-000000-1.txt").write_text("\n".join(names))

    with pipeline(redis, store):
        output = warm("--lost")

    assert "3 were pinned in files that are set aside; of 2 the text is here." in output
    assert store.pins(names) == {preview: True, block: True}
    assert document.blocks.count() == 2


@pytest.mark.parametrize(
    "arguments", [("--document", str(uuid4())), ("--document", "DOCUMENT", "--voice", "none")]
)
def test_an_unknown_document_or_voice_is_an_error(redis, store, operator, voice, arguments):
    document = make_document(operator)

    with pytest.raises(CommandError, match="There is no"):
        warm(*(argument.replace("DOCUMENT", str(document.pk)) for argument in arguments))
