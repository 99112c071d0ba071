"""Documents behind the doors: what is stored, and what a read costs."""

import threading
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.yapit.factories import make_document, make_user
from yapit import documents
from yapit.errors import DocumentNotFound, DocumentRefused
from yapit.models import Document, Playback

pytestmark = pytest.mark.django_db


@pytest.fixture
def queries():
    with CaptureQueriesContext(connection) as captured:
        yield captured


def test_a_text_becomes_blocks_and_sections():
    made = documents.create_text(make_user().pk, "# Heading\n\nFirst.\n\n```\ncode\n```\n\nLast.").document

    texts = list(made.blocks.order_by("index").values_list("index", "text"))
    assert texts == [(0, "Heading"), (1, "First."), (2, "Last.")]
    assert (made.title, made.block_count, made.characters) == ("Heading", 3, 18)
    sections = list(made.sections.order_by("position").values_list("position", "first_block", "block_count"))
    assert sections == [(0, 0, 1), (1, 1, 1), (2, 2, 0), (3, 2, 1)]


def test_characters_are_code_points_of_the_composed_text():
    made = documents.create_text(make_user().pk, "Cafe\u0301 \N{GRINNING FACE} here.").document

    block = made.blocks.get()
    assert block.text.startswith("Caf\u00e9")
    assert block.characters == made.characters == len(block.text)


def test_what_postgresql_cannot_store_is_left_out():
    made = documents.create_text(make_user().pk, "Hel\0lo \ud800there.", title="A\0 title\n").document

    made.refresh_from_db()
    assert (made.source, made.title) == ("Hello there.", "A title")


@pytest.mark.parametrize("content", ["   \n", "\0", "```\ncode\n```", "---", "$$x$$"])
def test_a_text_without_anything_to_speak_is_refused(content):
    with pytest.raises(DocumentRefused) as caught:
        documents.create_text(make_user().pk, content)

    assert caught.value.code == "nothing_to_speak"
    assert not Document.objects.exists()


def test_a_long_document_is_stored_whole():
    content = "\n\n".join(f"Paragraph number {number}." for number in range(3000))

    made = documents.create_text(make_user().pk, content, markdown=False).document

    assert made.block_count == made.blocks.count() == 3000
    assert documents.blocks_for(made.pk, made.owner_id, [2999]) == {2999: "Paragraph number 2999."}


def test_a_request_for_blocks_is_one_statement(queries):
    made = make_document(None, *(f"Block {index}." for index in range(50)))
    before = len(queries)

    found = documents.blocks_for(made.pk, made.owner_id, [3, 5, 50, -1, 10**12])

    assert found == {3: "Block 3.", 5: "Block 5."}
    assert len(queries) == before + 1


def test_a_request_for_blocks_reads_those_rows_only():
    made = make_document(None, *(f"Block {index}." for index in range(2000)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE yapit_block")
        cursor.execute("SET LOCAL enable_seqscan = off")
        with CaptureQueriesContext(connection) as captured:
            documents.blocks_for(made.pk, made.owner_id, [3, 5])
        cursor.execute(f"EXPLAIN (ANALYZE) {captured[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "block_index_once" in plan
    assert "Rows Removed by Filter" not in plan


def test_blocks_that_do_not_exist_are_not_an_error_and_a_missing_document_is():
    made = make_document()

    assert documents.blocks_for(made.pk, made.owner_id, [7]) == {}
    assert documents.blocks_for(made.pk, made.owner_id, []) == {}
    with pytest.raises(DocumentNotFound):
        documents.blocks_for(uuid.uuid4(), made.owner_id, [0])


def test_a_document_is_opened_together_with_some_of_its_blocks(django_assert_num_queries):
    made = make_document(None, "One.", "Two.", "Three.")

    with django_assert_num_queries(2):
        opened = documents.access_with_texts(made.pk, made.owner_id, 1, 63)
        past_the_end = documents.access_with_texts(made.pk, made.owner_id, 64, 127)

    assert opened == (documents.access(made.pk, made.owner_id), {1: "Two.", 2: "Three."})
    assert past_the_end == (opened[0], {})


def test_a_private_document_is_missing_for_everyone_else():
    made, other = make_document(), make_user()

    reads = (
        documents.blocks_for,
        documents.page_of_blocks,
        documents.page_of_sections,
        documents.access_with_texts,
    )
    for read in reads:
        rest = ([0],) if read is documents.blocks_for else (0, 10)
        with pytest.raises(DocumentNotFound):
            read(made.pk, other.pk, *rest)
    with pytest.raises(DocumentNotFound):
        documents.find(made.pk, other.pk)
    with pytest.raises(DocumentNotFound):
        documents.set_position(made.pk, other.pk, 0)


def test_a_public_document_may_be_read_and_not_changed():
    made, other = make_document(is_public=True), make_user()

    assert documents.blocks_for(made.pk, other.pk, [0]) == {0: "Hello there."}
    assert documents.find(made.pk, other.pk).is_owner is False
    with pytest.raises(DocumentNotFound):
        documents.change(made.pk, other.pk, title="Mine")
    with pytest.raises(DocumentNotFound):
        documents.delete(made.pk, other.pk)


def test_a_list_never_loads_a_source(queries):
    user = make_user()
    for _ in range(3):
        make_document(user, source="x" * 100_000)
    before = len(queries)

    rows, total = documents.page_of_own(user.pk, 0, 2)

    assert (len(rows), total) == (2, 3)
    statements = [query["sql"] for query in queries.captured_queries[before:]]
    assert len(statements) == 2
    assert not any('"source"' in statement for statement in statements)


def test_what_was_heard_last_is_listed_first():
    user = make_user()
    first, second, third = (make_document(user, title=title) for title in ("one", "two", "three"))
    documents.set_position(first.pk, user.pk, 0)

    rows, _ = documents.page_of_own(user.pk, 0, 10)

    assert [seen.document.pk for seen in rows] == [first.pk, third.pk, second.pk]


def test_a_position_belongs_to_the_account():
    made, other = make_document(None, "One.", "Two.", is_public=True), make_user()

    documents.set_position(made.pk, made.owner_id, 1)
    documents.set_position(made.pk, made.owner_id, 0)
    documents.set_position(made.pk, other.pk, 1)

    assert documents.find(made.pk, made.owner_id).block_idx == 0
    assert documents.find(made.pk, other.pk).block_idx == 1
    assert documents.find(made.pk, make_user().pk).played_at is None
    assert Playback.objects.count() == 2


def test_a_position_outside_the_document_is_refused():
    made = make_document()

    with pytest.raises(DocumentRefused):
        documents.set_position(made.pk, made.owner_id, 1)


@pytest.mark.django_db(transaction=True)
def test_documents_made_at_the_same_moment_do_not_mix():
    user = make_user()
    made = []

    def make(number):
        content = "\n\n".join(f"Document {number} block {index}." for index in range(40))
        made.append((number, documents.create_text(user.pk, content).document))
        connection.close()

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, document in made:
        texts = list(document.blocks.order_by("index").values_list("text", flat=True))
        assert texts == [f"Document {number} block {index}." for index in range(40)]
