"""The registry of pending blocks."""

from uuid import uuid4

from tests.yapit.jobs.job_steps import make_spec
from yapit.jobs import Priority
from yapit.realtime.pending_blocks import NO_DOCUMENT, PendingBlock, PendingBlocks

DOCUMENT, OTHER = uuid4(), uuid4()


def block(text="One.", document_id=DOCUMENT, index=0):
    return PendingBlock(document_id, index, make_spec(text), Priority.PLAYING)


def registry(*blocks):
    pending = PendingBlocks()
    for each in blocks:
        pending.add(each)
    return pending


def test_blocks_are_found_by_hash_and_by_document():
    one, same_text, two = block(), block(document_id=OTHER), block("Two.", index=1)
    pending = registry(one, same_text, two)

    assert pending.of_hash(one.spec.hash) == [one, same_text]
    assert pending.of_document(DOCUMENT) == [one, two]
    assert pending.documents() == {str(DOCUMENT), str(OTHER)}
    assert pending.all() == [one, same_text, two]


def test_removing_tells_whether_it_was_the_last_of_its_hash():
    one, same_text = block(), block(document_id=OTHER)
    pending = registry(one, same_text)

    assert not pending.remove(one)
    assert pending.remove(same_text)
    assert not pending.remove(same_text)
    assert not pending


def test_a_repeated_request_replaces_the_pending_block():
    first, second = block(), block()
    pending = registry(first, second)

    assert first not in pending
    assert second in pending
    assert pending.remove(first)


def test_a_text_without_document_has_an_empty_document_name():
    assert block(document_id=NO_DOCUMENT).document == ""
