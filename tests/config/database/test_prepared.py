"""A query that is turned into SQL once gives what the ORM gives, whatever its values."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db.models import Q
from django.utils import timezone

from config.database.prepared import Prepared
from tests.yapit.factories import make_document, make_user
from yapit.models import Document, Preferences, Profile

pytestmark = pytest.mark.django_db


def test_values_go_where_their_examples_were():
    def visible(document_id, user_id, before):
        theirs = Q(owner_id=user_id) | Q(is_public=True)
        found = Document.objects.filter(theirs, pk=document_id, created__lt=before)
        return found.order_by().values_list("pk", "owner_id", "characters")

    prepared = Prepared(visible, UUID(int=1), 2, datetime(1970, 1, 1, tzinfo=UTC))
    mine, public = make_document(), make_document(is_public=True)
    soon, ago = (timezone.now() + timedelta(hours=sign) for sign in (1, -1))

    for document in (mine, public):
        for user_id in (mine.owner_id, public.owner_id):
            for before in (soon, ago):
                values = (document.pk, user_id, before)
                assert list(prepared(*values)) == list(visible(*values))


def test_true_and_one_are_not_the_same():
    prepared = Prepared(
        lambda user: Profile.objects.filter(user=user, is_tester=True).values_list("user_id"), 1
    )
    make_user(tester=True)
    tester, other = make_user(tester=True), make_user()

    assert list(prepared(tester.pk)) == [(tester.pk,)]
    assert list(prepared(other.pk)) == []


def test_values_of_columns_are_read_as_the_orm_reads_them():
    prepared = Prepared(lambda user: Preferences.objects.filter(user=user).values_list("pinned_voices"), 2)
    user = make_user()
    Preferences.objects.create(user=user, pinned_voices=["sine", "brass"])

    assert [tuple(row) for row in prepared(user.pk)] == [(["sine", "brass"],)]


def test_the_query_is_built_once():
    built = []

    def build(user_id):
        built.append(user_id)
        return Document.objects.filter(owner_id=user_id).values_list("pk")

    prepared = Prepared(build, 2)
    for user_id in range(3):
        prepared(user_id)

    assert built == [2]
