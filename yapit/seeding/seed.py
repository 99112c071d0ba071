"""What a new installation starts with, and what each later start brings up to date.

Only what does not exist is made, and of what does, only what the engines decide is changed. Names, prices
and what is switched on are the operator's.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.db import connection, transaction

from billing.subscriptions import ensure_subscriptions
from yapit import documents, engines
from yapit.accounts import keys
from yapit.accounts.identity import LOCAL_USERNAME
from yapit.engines import Engine, VoiceSpec
from yapit.invalidation import catalog_changed
from yapit.models import Profile, TTSModel, Voice

ADMIN_USERNAME = "admin"
FOR_TESTS = frozenset({"tone"})  # made, and switched on by whoever wants to hear it
WELCOME = Path(__file__).with_name("welcome.md")
SEEDING = 0x7961706974  # the lock's name: "yapit"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody needs to get in. Exists in memory and in one file."""

    admin_password: str
    api_key: str
    key_username: str

    def as_text(self) -> str:
        return (
            f"admin login: {ADMIN_USERNAME}\n"
            f"admin password: {self.admin_password}\n"
            f"API key of {self.key_username}: {self.api_key}\n"
        )


@transaction.atomic
def seed(credentials_file: Path | None = None) -> Credentials | None:
    """Make what is missing. Repeatable, also by several at once: one after the other.

    The first time, and if there is a file for them, returns the credentials that were written to it. The
    file comes before the commit: without it, nobody could get in.
    """
    _wait_for_the_others()
    for slug, dotted_path in settings.ENGINES.items():
        _seed_model(slug, engines.engine_class(dotted_path), engines.engine_identity(dotted_path))
    made = _seed_accounts(credentials_file)
    ensure_subscriptions()
    return made


def _wait_for_the_others() -> None:
    with connection.cursor() as cursor:
        # The settings' limits are for requests; here somebody else may be parsing the welcome document.
        cursor.execute("SET LOCAL lock_timeout = '60s'")
        cursor.execute("SET LOCAL statement_timeout = '60s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEEDING])


def _seed_model(slug: str, engine: type[Engine], identity: engines.EngineIdentity) -> None:
    model, is_new = TTSModel.objects.get_or_create(
        slug=slug,
        defaults={"name": slug.title(), "is_active": slug not in FOR_TESTS, **identity._asdict()},
    )
    if not is_new and (model.revision, model.codec) != identity:
        model.revision, model.codec = identity
        model.save(update_fields=["revision", "codec"])
        catalog_changed()
    Voice.objects.bulk_create((_voice(model, spec) for spec in engine.voices()), ignore_conflicts=True)


def _voice(model: TTSModel, spec: VoiceSpec) -> Voice:
    return Voice(
        model=model,
        slug=spec.slug,
        name=spec.name,
        language=spec.language,
        gender=spec.gender if spec.gender in Voice.Gender.values else Voice.Gender.UNSTATED,
        parameters=dict(spec.parameters),
        approved=True,
    )


def _seed_accounts(credentials_file: Path | None) -> Credentials | None:
    password = secrets.token_urlsafe(12) if credentials_file else None
    admin, is_first = User.objects.get_or_create(
        username=ADMIN_USERNAME,
        defaults={"is_staff": True, "is_superuser": True, "password": make_password(password)},
    )
    owner, is_new = (admin, is_first) if settings.MULTI_USER else _local()
    if is_first:
        Profile.objects.get_or_create(user=admin, defaults={"is_tester": True, "is_reviewer": True})
    if is_new:
        _welcome(owner)
    if not (is_first and password and credentials_file):
        return None
    made = Credentials(password, keys.create_key(owner, "first key").token, owner.get_username())
    _write(credentials_file, made)
    return made


def _local() -> tuple[User, bool]:
    # No password is usable: in multi-user mode nobody logs in as this account.
    return User.objects.get_or_create(username=LOCAL_USERNAME, defaults={"password": make_password(None)})


def _welcome(owner: User) -> None:
    """Made with its owner, so that who deletes it is not given it again."""
    made = documents.create_text(owner.pk, WELCOME.read_text("utf-8"))
    if settings.MULTI_USER:
        documents.change(made.document.pk, owner.pk, is_public=True)


def _write(path: Path, made: Credentials) -> None:
    path.unlink(missing_ok=True)  # of an earlier database; and whoever could read it cannot read the new one
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(made.as_text())
        file.flush()
        os.fsync(file.fileno())
