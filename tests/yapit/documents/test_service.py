"""Documents: stored rows, access rules, and the number of queries."""

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

    blocks = list(made.blocks.order_by("index").values_list("index", "text", "pause_ms"))
    assert blocks == [(0, "Heading", 800), (1, "First.", 500), (2, "Last.", 500)]
    assert (made.title, made.block_count, made.characters) == ("Heading", 3, 18)
    sections = list(made.sections.order_by("position").values_list("position", "first_block", "block_count"))
    assert sections == [(0, 0, 1), (1, 1, 1), (2, 2, 0), (3, 2, 1)]


def test_characters_are_code_points_of_the_composed_text():
    made = documents.create_text(make_user().pk, "Cafe\u0301 \N{GRINNING FACE} here.").document

    block = made.blocks.get()
    assert block.text.startswith("Caf\u00e9")
    assert block.characters == made.characters == len(block.text)


def test_characters_that_postgresql_cannot_store_are_removed():
    made = documents.create_text(make_user().pk, "Hel\0lo \ud800there.", title="A\0 title\n").document

    made.refresh_from_db()
    assert (made.source, made.title) == ("Hello there.", "A title")


@pytest.mark.parametrize("content", ["   \n", "\0", "```\ncode\n```", "---", "$$x$$"])
def test_a_text_with_nothing_to_speak_is_refused(content):
    with pytest.raises(DocumentRefused) as caught:
        documents.create_text(make_user().pk, content)

    assert caught.value.code == "nothing_to_speak"
    assert not Document.objects.exists()


def test_a_long_document_is_stored_whole():
    content = "\n\n".join(f"Paragraph number {number}." for number in range(3000))

    made = documents.create_text(make_user().pk, content, markdown=False).document

    assert made.block_count == made.blocks.count() == 3000
    assert documents.blocks_for(made.pk, made.owner_id, [2999]) == {2999: ("Paragraph number 2999.", 500)}


def test_blocks_are_read_in_one_query(queries):
    made = make_document(None, *(f"Block {index}." for index in range(50)))
    before = len(queries)

    blocks = documents.blocks_for(made.pk, made.owner_id, [3, 5, 50, -1, 10**12])

    assert blocks == {3: ("Block 3.", 250), 5: ("Block 5.", 250)}
    assert len(queries) == before + 1


def test_only_the_requested_blocks_are_read():
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


def test_missing_blocks_are_left_out_and_a_missing_document_is_an_error():
    made = make_document()

    assert documents.blocks_for(made.pk, made.owner_id, [7]) == {}
    assert documents.blocks_for(made.pk, made.owner_id, []) == {}
    with pytest.raises(DocumentNotFound):
        documents.blocks_for(uuid.uuid4(), made.owner_id, [0])


def test_access_and_blocks_are_read_in_one_query(django_assert_num_queries):
    made = make_document(None, "One.", "Two.", "Three.")

    with django_assert_num_queries(2):
        opened = documents.access_with_blocks(made.pk, made.owner_id, 1, 63)
        past_the_end = documents.access_with_blocks(made.pk, made.owner_id, 64, 127)

    assert opened == (documents.access(made.pk, made.owner_id), {1: ("Two.", 250), 2: ("Three.", 250)})
    assert past_the_end == (opened[0], {})


def test_a_private_document_is_not_found_by_other_accounts():
    made, other = make_document(), make_user()

    reads = (
        documents.blocks_for,
        documents.page_of_blocks,
        documents.page_of_sections,
        documents.access_with_blocks,
    )
    for read in reads:
        rest = ([0],) if read is documents.blocks_for else (0, 10)
        with pytest.raises(DocumentNotFound):
            read(made.pk, other.pk, *rest)
    with pytest.raises(DocumentNotFound):
        documents.find(made.pk, other.pk)
    with pytest.raises(DocumentNotFound):
        documents.set_position(made.pk, other.pk, 0)


def test_a_public_document_can_be_read_and_not_changed_by_other_accounts():
    made, other = make_document(is_public=True), make_user()

    assert documents.blocks_for(made.pk, other.pk, [0]) == {0: ("Hello there.", 250)}
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


def test_the_last_played_document_is_listed_first():
    user = make_user()
    first, second, third = (make_document(user, title=title) for title in ("one", "two", "three"))
    documents.set_position(first.pk, user.pk, 0)

    rows, _ = documents.page_of_own(user.pk, 0, 10)

    assert [seen.document.pk for seen in rows] == [first.pk, third.pk, second.pk]


def test_each_account_has_its_own_position():
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
def test_concurrently_created_documents_do_not_mix():
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
