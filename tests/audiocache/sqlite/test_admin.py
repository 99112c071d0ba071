"""Admin pages of stored audio: search by hash, and actions that send orders."""

import pytest
from django.contrib.auth.models import Permission

from audiocache.sqlite import admin as audio_admin
from tests.audiocache.audio_blobs import Kind, finish, order, sound, sounds
from tests.audiocache.background_persister import persisting
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(databases=["default", "audio"], transaction=True)
URL = "/admin/audiocache/entry/"


def test_the_list_shows_hash_size_and_pin(shown, store, admin_client):
    first, second = sounds(2, size=2048)
    store.write_batch([first.put, second.put], [order(Kind.PIN, second)])

    page = admin_client.get(URL).content.decode()

    assert first.hash in page
    assert page.count("2.0\xa0KB") == 3  # two sizes, and the pinned bytes of the totals
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
def test_a_search_for_a_malformed_hash_has_no_results(shown, store, admin_client, term):
    store.write_batch([one.put for one in sounds(2)], [])

    assert "0 entries" in admin_client.get(URL, {"q": term}).content.decode()


def test_an_entry_can_be_viewed_but_not_changed(shown, store, admin_client):
    [one] = sounds(1)
    store.write_batch([one.put], [])

    page = admin_client.get(f"{URL}1/change/")

    assert one.sum in page.content.decode()
    assert admin_client.post(f"{URL}1/change/", {"pinned": 1}).status_code == 403
    assert admin_client.post(f"{URL}1/delete/", {"post": "yes"}).status_code == 403


def test_without_the_file_the_list_is_empty_and_no_file_is_created(shown, admin_client):
    shown.unlink()

    assert "0 entries" in admin_client.get(URL).content.decode()
    assert not shown.exists()


def act(client, action, *ids):
    page = client.post(URL, {"action": action, "_selected_action": ids}, follow=True)
    return page.content.decode()


def test_the_list_shows_the_totals(shown, store, admin_client):
    store.write_batch([one.put for one in sounds(3, size=2048)], [])

    page = admin_client.get(URL).content.decode()

    assert "3 entries, 6.0\xa0KB of 1.0\xa0GB; 0\xa0bytes pinned" in page


@pytest.mark.parametrize(("action", "left"), [("pin", (2, 2000)), ("unpin", (2, 0)), ("remove", (0, 0))])
def test_actions_are_applied_before_the_response(shown, store, redis, admin_client, action, left):
    finish(redis, *sounds(2))
    with persisting(redis, store):
        wait_until(lambda: store.stats().entries == 2)

        assert "2 selected: done" in act(admin_client, action, 1, 2)

    assert (store.stats().entries, store.stats().pinned_bytes) == left


def test_without_the_persister_a_message_says_that_the_order_is_queued(
    shown, store, redis, admin_client, monkeypatch
):
    monkeypatch.setattr(audio_admin, "WAIT_SECONDS", 0)
    store.write_batch([sound().put], [])

    assert "run_persister will do it" in act(admin_client, "remove", 1)
    assert redis.xlen("orders") == 1


def test_actions_need_more_than_the_permission_to_view(shown, store, redis, client, django_user_model):
    watcher = django_user_model.objects.create_user("watcher", is_staff=True)
    watcher.user_permissions.add(Permission.objects.get(codename="view_entry"))
    client.force_login(watcher)
    store.write_batch([sound().put], [])

    act(client, "remove", 1)

    assert redis.xlen("orders") == 0
