"""Audio in the admin: found by hash, and only to look at."""

import pytest

from tests.audiocache.sounds import Kind, order, sounds

pytestmark = pytest.mark.django_db(databases=["default", "audio"], transaction=True)
URL = "/admin/audiocache/entry/"


def test_entries_are_listed_with_what_matters(shown, store, admin_client):
    first, second = sounds(2, size=2048)
    store.write_batch([first.put, second.put], [order(Kind.PIN, second)])

    page = admin_client.get(URL).content.decode()

    assert first.hash in page
    assert page.count("2.0\xa0KB") == 2
    assert page.count('alt="True"') == 1
    assert "Add entry" not in page


@pytest.mark.parametrize("length", [64, 63, 8])
def test_an_entry_is_found_by_its_hash(shown, store, admin_client, length):
    first, second = sounds(2)
    store.write_batch([first.put, second.put], [])

    page = admin_client.get(URL, {"q": f" {first.hash[:length]} "}).content.decode()

    assert first.hash in page
    assert second.hash not in page


@pytest.mark.parametrize("term", ["xyz", "a" * 65, "é", "'; DROP TABLE entry"])
def test_a_search_for_what_is_no_hash_finds_nothing(shown, store, admin_client, term):
    store.write_batch([one.put for one in sounds(2)], [])

    assert "0 entries" in admin_client.get(URL, {"q": term}).content.decode()


def test_an_entry_can_be_looked_at_but_not_changed(shown, store, admin_client):
    [one] = sounds(1)
    store.write_batch([one.put], [])

    page = admin_client.get(f"{URL}1/change/")

    assert one.sum in page.content.decode()
    assert admin_client.post(f"{URL}1/change/", {"pinned": 1}).status_code == 403
    assert admin_client.post(f"{URL}1/delete/", {"post": "yes"}).status_code == 403


def test_without_the_file_the_list_is_empty_and_makes_none(shown, admin_client):
    shown.unlink()

    assert "0 entries" in admin_client.get(URL).content.decode()
    assert not shown.exists()
