"""Account deletion: personal data is erased, the ledger is kept, sessions and sockets end."""

import json
from threading import Thread

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.test import Client as Browser
from django.utils import timezone

from billing.models import LedgerEntry
from billing.plans import balances
from billing.usage.recording import record_usage
from billing.usage_types import UsageType
from config import caching
from config.database.offload import offload
from tests.billing.usage_events import make_event, make_subscription, publish, used
from tests.waiting import async_wait_until, wait_until
from tests.yapit.factories import make_document, make_user, make_variant, make_voice
from tests.yapit.sockets.socket_client import PAGE, Listener
from tests.yapit.web.http_clients import Client, own_page, with_key
from yapit.accounts import identity, keys
from yapit.deletion import account_deletion
from yapit.errors import AccountProtected
from yapit.models import BlockVariant, Playback, Preferences, Voice
from yapit.realtime import notifications
from yapit.usage import leaderboard

pytestmark = pytest.mark.django_db(transaction=True)

ME = "/v1/me"
PASSWORD = {"password": "correct horse"}


@pytest.fixture(autouse=True)
def _empty_caches(redis):
    identity.forget()


def make_ann():
    """An account with rows in every table that refers to accounts."""
    ann = make_user("ann", email="ann@example.org", first_name="Ann", tester=True)
    Group.objects.create(name="readers").user_set.add(ann)
    document = make_document(ann, "Ann's secret.", "And more.")
    other = make_document(None, "Something public.", is_public=True)
    for played in (document, other):
        Playback.objects.create(user=ann, document=played, block_idx=0, played_at=played.created)
    Playback.objects.create(user=other.owner, document=document, block_idx=0, played_at=other.created)
    Preferences.objects.create(user=ann)
    make_voice("anns-own", owner=ann)
    make_voice("shared").testers.add(ann)
    keys.create_key(ann, "ann's laptop")
    LogEntry.objects.log_actions(make_user().pk, [ann, document], CHANGE, change_message="ann")
    return ann


def rows_about(user_id):
    """{table: number of rows that refer to the account}, over all tables."""
    counts = {}
    for table in apps.get_models(include_auto_created=True):
        for field in table._meta.concrete_fields:
            if field.related_model is User:
                rows = table.objects.filter(**{field.name: user_id})
                counts[table._meta.label] = counts.get(table._meta.label, 0) + rows.count()
    return {label: count for label, count in counts.items() if count}


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


# --- Erased and kept data ---------------------------------------------------------------------------------


def test_only_billing_rows_of_a_deleted_account_are_kept():
    ann = make_ann()
    record_usage([make_event(ann.pk, 7)])

    account_deletion.delete_account(ann.pk)

    assert [label for label in rows_about(ann.pk) if not label.startswith("billing.")] == []
    assert LedgerEntry.objects.get().user_id == ann.pk
    assert used(ann.pk) == 7


def test_no_name_of_the_person_is_kept():
    ann = make_ann()

    account_deletion.delete_account(ann.pk)

    kept = User.objects.filter(pk=ann.pk).values().get()
    assert "ann" not in json.dumps(kept, default=str).lower()
    assert (kept["is_active"], kept["password"][0]) == (False, "!")
    assert set(LogEntry.objects.values_list("object_repr", "change_message")) == {("deleted", "")}


def test_rows_of_other_accounts_are_kept():
    ann = make_ann()

    account_deletion.delete_account(ann.pk)

    assert Voice.objects.get().slug == "shared"
    assert Playback.objects.count() == 0
    assert User.objects.exclude(pk=ann.pk).filter(is_active=True).count() == 2


def test_deletion_is_repeatable_and_anonymous_names_do_not_collide():
    ann, ben = make_user("ann"), make_user("ben")

    for pk in (ann.pk, ben.pk, ann.pk, 10**9):
        account_deletion.delete_account(pk)

    assert User.objects.filter(username__startswith="deleted-").count() == 2


def test_a_failed_deletion_is_rolled_back_and_can_be_repeated(monkeypatch):
    ann = make_ann()
    with monkeypatch.context() as patch:
        patch.setattr(balances, "close", lambda user_id: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            account_deletion.delete_account(ann.pk)
    assert rows_about(ann.pk)["yapit.Document"] == 1

    account_deletion.delete_account(ann.pk)

    assert "yapit.Document" not in rows_about(ann.pk)


def test_usage_that_arrives_after_the_deletion_is_charged(redis):
    ann = make_user("ann")
    publish(redis, ann.pk, chars=40)
    account_deletion.delete_account(ann.pk)
    publish(redis, ann.pk, chars=2)

    call_command("run_billing", "--drain")

    assert used(ann.pk) == 42
    assert LedgerEntry.objects.filter(user_id=ann.pk).count() == 2
    assert not redis.exists("dead:billing")


async def test_shared_documents_are_not_found_any_more(async_redis):
    ann, made = await offload(lambda: (make_user("ann"), keys.create_key(make_user(), "laptop")))
    document = await offload(lambda: make_document(ann, "Ann's.", is_public=True))
    paths = [f"/v1/documents/{document.pk}{part}" for part in ("", "/blocks", "/sections")]
    reader = with_key(made.token)
    await caching.listen().subscribed()
    assert [(await reader.send("GET", path)).status_code for path in paths] == [200] * 3

    await offload(account_deletion.delete_account, ann.pk)

    async def is_gone():
        return [(await reader.send("GET", path)).status_code for path in paths] == [404] * 3

    await async_wait_until(is_gone, timeout=15)  # half of the time for which they are cached


def test_the_leaderboard_keeps_its_counts_without_the_title():
    ann = make_user("ann")
    document = make_document(ann, "Ann's.", title="Ann's title", is_public=True)
    make_voice("aria")
    for user in (ann, *(make_user() for _ in range(leaderboard.FEWEST_LISTENERS))):
        Playback.objects.create(user=user, document=document, block_idx=0, played_at=timezone.now())
        record_usage([make_event(user.pk, 7, voice="aria", document=document.pk)])
    assert shown() == {"Ann's title", "aria"}

    account_deletion.delete_account(ann.pk)

    assert shown() == {"aria"}


def shown():
    rows = [json.loads(row) for day in leaderboard.recent() for row in day.rows]
    return {row.get("voice") or row["title"] for row in rows}


def test_audio_is_kept_for_other_accounts(redis):
    ann = make_user("ann")
    make_document(ann, "The same words.")
    make_variant("a" * 64)
    redis.set(f"audio:{'a' * 64}", b"audio bytes")

    account_deletion.delete_account(ann.pk)

    assert redis.get(f"audio:{'a' * 64}") == b"audio bytes"
    assert BlockVariant.objects.filter(pk="a" * 64).exists()


# --- Permission -------------------------------------------------------------------------------------------


def test_the_local_account_and_the_last_operator_cannot_be_deleted():
    make_user("local")
    one, other = (make_user(is_superuser=True) for _ in range(2))
    account_deletion.delete_account(one.pk)

    for user in (User.objects.get(username="local"), other):
        with pytest.raises(AccountProtected):
            account_deletion.delete_account(user.pk)
    assert User.objects.filter(username__in=["local", other.username], is_active=True).count() == 2


def test_the_last_two_operators_cannot_be_deleted_at_the_same_time():
    one, other = (make_user(is_superuser=True) for _ in range(2))
    refused = []

    def leave():
        try:
            account_deletion.delete_account(other.pk)
        except AccountProtected as error:
            refused.append(error.code)
        finally:
            connection.close()

    with transaction.atomic():
        account_deletion.delete_account(one.pk)
        thread = Thread(target=leave)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()  # it waits for the lock
    thread.join()

    assert refused == ["last_operator"]


def change_and_log_during_a_deletion():
    """An operator gives characters, as the admin does: balance, then log entry, in one transaction.

    Meanwhile the account is deleted, which waits for the balance. Returns the errors of the two.
    """
    ann, operator = make_user("ann"), make_user(is_superuser=True)
    make_subscription(ann.pk)
    errors = []

    def delete():
        try:
            account_deletion.delete_account(ann.pk)
        except OperationalError as error:
            errors.append(error)
        finally:
            connection.close()

    thread = Thread(target=delete)
    try:
        with transaction.atomic():
            balances.grant(ann.pk, UsageType.PREMIUM, 5, reason="an outage", operator="ada")
            thread.start()
            wait_until(some_transaction_waits)
            LogEntry.objects.log_actions(operator.pk, [ann], CHANGE, change_message="gave characters")
    except OperationalError as error:
        errors.append(error)
    thread.join()
    return errors


def some_transaction_waits():
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return cursor.fetchone()[0]


def test_a_deletion_and_a_change_of_the_balance_do_not_deadlock():
    assert change_and_log_during_a_deletion() == []


def test_with_the_subscription_locked_last_they_deadlock(monkeypatch):
    monkeypatch.setattr(account_deletion, "lock_subscriptions", lambda user_ids: None)

    assert len(change_and_log_during_a_deletion()) == 1


async def test_in_single_user_mode_the_account_cannot_be_deleted():
    await offload(make_user, "local")

    assert code(await own_page().send("DELETE", ME, PASSWORD)) == (409, "local_account")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({}, (403, "password_needed")),
        ({"password": "guess"}, (403, "wrong_password")),
        ({"confirm": "ann"}, (403, "password_needed")),
        ({"password": 7}, (400, "invalid_request")),
    ],
)
async def test_deletion_requires_the_password(body, refusal):
    made = await offload(lambda: keys.create_key(make_user("ann"), "laptop"))

    assert code(await with_key(made.token).send("DELETE", ME, body)) == refusal
    assert await offload(User.objects.filter(username="ann").exists)


async def test_attempts_at_the_password_are_limited(settings):
    settings.LOGIN_ATTEMPTS = 1
    made = await offload(lambda: keys.create_key(make_user("ann"), "laptop"))
    client = with_key(made.token)
    await client.send("DELETE", ME, {"password": "guess"})

    answer = await client.send("DELETE", ME, PASSWORD)

    assert code(answer) == (429, "rate_limited")
    assert 0 < int(answer["Retry-After"]) <= 30


async def test_an_account_without_a_password_confirms_by_its_name():
    made = await offload(lambda: keys.create_key(User.objects.create_user("ann"), "laptop"))
    client = with_key(made.token)

    assert code(await client.send("DELETE", ME, {"password": ""})) == (403, "confirmation_needed")
    assert (await client.send("DELETE", ME, {"confirm": "ann"})).status_code == 204


# --- Sessions and sockets ---------------------------------------------------------------------------------


async def test_sessions_and_keys_become_invalid_and_open_sockets_close(settings):
    settings.MULTI_USER, settings.IDENTITY_SECONDS = True, 3600
    ann = await offload(make_user, "ann")
    made = await offload(keys.create_key, ann, "laptop")
    browser = Browser()
    await offload(browser.force_login, ann)
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    page = Client(origin="http://testserver", cookie=cookie)
    sockets = [
        Listener(headers=[(b"authorization", f"Bearer {made.token}".encode())]),
        Listener(headers=[*PAGE, (b"cookie", cookie.encode())]),
    ]
    for socket in sockets:
        await socket.connect()
        await socket.send(type="hello")
        await socket.frame()
    await caching.listen().subscribed()

    assert (await page.send("DELETE", ME, PASSWORD)).status_code == 204

    assert [await socket.close_code() for socket in sockets] == [4401, 4401]
    assert (await page.send("GET", ME)).status_code == 401
    assert (await with_key(made.token).send("GET", ME)).status_code == 401
    await notifications.hub().close()
