"""Seeding: creates the models, voices and accounts of a new installation, and updates revisions of engines.

In existing rows it changes only what an engine defines (revision, codec); names, prices and activation belong
to the operator.
"""

import logging
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
from yapit.audio import opus
from yapit.engines import Engine, VoiceSpec
from yapit.invalidation import catalog_changed
from yapit.models import Profile, TTSModel, Voice

logger = logging.getLogger(__name__)

ADMIN_USERNAME = "admin"
WELCOME = Path(__file__).with_name("welcome.md")
SEEDING_LOCK = 0x7961706974  # key of the advisory lock: "yapit"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The first log-in and API key. Stored in one file only."""

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
    """Create missing rows in one transaction. Repeatable; concurrent calls run one after the other.

    With a file, the first call writes the new credentials to it and returns them. The file is written before
    the commit, since without it the new accounts would be inaccessible.
    """
    _lock()
    for slug, entry in settings.ENGINES.items():
        _seed_model(engines.load_engine(slug, entry), is_active=entry.get("is_active", True))
    credentials = _seed_accounts(credentials_file)
    ensure_subscriptions()
    return credentials


def _lock() -> None:
    with connection.cursor() as cursor:
        # The limits in the settings are for requests; another process may be parsing the welcome document.
        cursor.execute("SET LOCAL lock_timeout = '60s'")
        cursor.execute("SET LOCAL statement_timeout = '60s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SEEDING_LOCK])


def _seed_model(engine: Engine, *, is_active: bool) -> None:
    if missing := engine.check():
        # Its rows stay as they are: another machine may run it.
        logger.warning("The engine %r is not seeded. %s", engine.slug, missing)
        return
    identity = {"revision": engine.revision, "codec": opus.CODEC}
    model, is_new = TTSModel.objects.get_or_create(
        slug=engine.slug,
        defaults={"name": engine.slug.title(), "is_active": is_active, **identity},
    )
    if not is_new and (model.revision, model.codec) != (engine.revision, opus.CODEC):
        model.revision, model.codec = engine.revision, opus.CODEC
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
    credentials = Credentials(password, keys.create_key(owner, "first key").token, owner.get_username())
    _write(credentials_file, credentials)
    return credentials


def _local() -> tuple[User, bool]:
    # Without a usable password, so that it cannot log in if the server changes to multi-user mode.
    return User.objects.get_or_create(username=LOCAL_USERNAME, defaults={"password": make_password(None)})


def _welcome(owner: User) -> None:
    """Create the welcome document. Only together with its owner, so that it does not return once deleted."""
    welcome = documents.create_text(owner.pk, WELCOME.read_text("utf-8"))
    if settings.MULTI_USER:
        documents.change(welcome.document.pk, owner.pk, is_public=True)


def _write(path: Path, credentials: Credentials) -> None:
    path.unlink(missing_ok=True)  # an old file could have wider permissions
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(credentials.as_text())
        file.flush()
        os.fsync(file.fileno())
