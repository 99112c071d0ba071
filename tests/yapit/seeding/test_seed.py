"""`manage.py seed`: creates missing rows, is repeatable, and keeps the operator's changes."""

import threading

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from yapit.accounts.identity import identify_key
from yapit.models import ApiKey, Document, TTSModel, Voice
from yapit.seeding import seed

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path):
    return tmp_path / "credentials.txt"


def read(file):
    return dict(line.split(": ", 1) for line in file.read_text().splitlines())


def test_the_models_and_voices_of_the_engines_are_created():
    call_command("seed")

    assert set(TTSModel.objects.values_list("slug", "is_active")) == {("hibari", True), ("tone", False)}
    assert Voice.objects.get(slug="slow").parameters == {"delay_ms": 500}
    assert Voice.objects.filter(model__slug="hibari", approved=True, owner=None).exists()
    assert all(TTSModel.objects.values_list("revision", flat=True))


def test_the_first_run_writes_working_credentials_with_mode_0600(file):
    call_command("seed", credentials=file)

    written = read(file)
    admin = authenticate(username=written["admin login"], password=written["admin password"])
    assert admin.is_superuser
    assert identify_key(written["API key of local"]).username == "local"
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(file):
    call_command("seed", credentials=file)
    before = file.read_text(), list(User.objects.values()), list(Voice.objects.values())

    call_command("seed", credentials=file)

    assert before == (file.read_text(), list(User.objects.values()), list(Voice.objects.values()))
    assert (ApiKey.objects.count(), Document.objects.count()) == (1, 1)


def test_the_local_account_has_no_usable_password():
    call_command("seed")

    assert not User.objects.get(username="local").has_usable_password()


def test_in_multi_user_mode_the_administrators_welcome_document_is_public(file, settings):
    settings.MULTI_USER = True

    call_command("seed", credentials=file)

    document = Document.objects.get()
    assert (document.owner.username, document.is_public) == ("admin", True)
    assert "API key of admin" in read(file)
    assert not User.objects.filter(username="local").exists()


def test_the_welcome_document_is_long_and_its_first_block_short():
    call_command("seed")

    document = Document.objects.get()
    assert (document.owner.username, document.is_public) == ("local", False)
    assert document.block_count >= 100
    assert document.blocks.get(index=0).characters <= 100


def test_a_deleted_welcome_document_is_not_created_again():
    call_command("seed")
    Document.objects.all().delete()

    call_command("seed")

    assert not Document.objects.exists()


def test_changes_by_the_operator_are_kept():
    call_command("seed")
    changed = {"name": "Ours", "is_active": False, "usage_multiplier_bp": 5, "usage_type": "premium"}
    TTSModel.objects.filter(slug="hibari").update(**changed)
    Voice.objects.update(name="Hers", is_active=False, approved=False, parameters={"a": 1})

    call_command("seed")

    assert TTSModel.objects.filter(slug="hibari", **changed).exists()
    assert not Voice.objects.exclude(name="Hers", is_active=False, approved=False).exists()


def test_a_new_revision_and_new_voices_of_an_engine_are_added():
    call_command("seed")
    TTSModel.objects.update(revision="old", codec="old")
    Voice.objects.filter(slug="slow").delete()

    call_command("seed")

    assert not TTSModel.objects.filter(revision="old").exists()
    assert not TTSModel.objects.filter(codec="old").exists()
    assert Voice.objects.filter(slug="slow").exists()


def test_the_credentials_of_an_earlier_database_are_replaced(file):
    file.write_text("old")
    file.chmod(0o644)

    call_command("seed", credentials=file)

    assert "old" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_a_writable_credentials_file_nothing_is_seeded(tmp_path):
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("seed", credentials=tmp_path / "nowhere" / "file")

    assert not User.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_runs_create_everything_once(file):
    failures = []

    def run():
        try:
            seed.seed(file)
        except Exception as exc:
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert (User.objects.count(), ApiKey.objects.count(), Document.objects.count()) == (2, 1, 1)
    assert identify_key(read(file)["API key of local"])
