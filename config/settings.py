"""Settings of all apps, in sections. Importing them creates, connects and writes nothing.

Values come from the environment (`make run` sets them itself). Invalid values are refused at start-up.
"""

from pathlib import Path
from typing import Any

from environs import Env
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import config.database.sqlite  # replaces SQLite before Django imports sqlite3
import config.redis.address
from config.installation import BASE_DIR, default_state_folder

env = Env()

# --- Access -------------------------------------------------------------------------------------------------

# Required for signing; processes that sign nothing (workers, consumers) run without it.
SECRET_KEY = env.str("SECRET_KEY", "")
API_KEY_PEPPER = env.str("API_KEY_PEPPER", "") or SECRET_KEY
DEBUG = env.bool("DEBUG", False)
# False: no log-in, one local account, loopback only. `run_stack --multi-user` sets it.
MULTI_USER = env.bool("MULTI_USER", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
# With scheme. An Origin that equals the requested Host is always accepted.
CSRF_TRUSTED_ORIGINS: list[str] = env.list("TRUSTED_ORIGINS", [])
AUDIO_PUBLIC = env.bool("AUDIO_PUBLIC", False)
# A proxy in front terminates TLS. Not read from a header, which any client could send.
HTTPS = env.bool("HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 0)  # only with HTTPS

# --- Applications -------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "channels",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "ninja",
    "config",
    "audiocache",
    "audiocache.sqlite",
    "billing",
    "yapit",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",  # before the access log: a page loads forty static files
    "config.observability.logging.RequestIdMiddleware",
    "config.serving.security_headers.security_headers",
    "yapit.api.http.errors.JsonErrors",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# Of requests below /v1, without forms or pages: each other middleware would switch to a thread and back.
API_MIDDLEWARE = [
    "config.observability.logging.RequestIdMiddleware",
    "config.serving.security_headers.security_headers",
    "yapit.api.http.default_headers.DefaultHeaders",
    "yapit.api.http.errors.JsonErrors",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "DIRS": [BASE_DIR / "yapit/web/templates", BASE_DIR / "yapit/admin/templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# --- PostgreSQL ---------------------------------------------------------------------------------------------

STATE_DIR = Path(env.str("STATE_DIR", "") or default_state_folder())
DATABASE_URL = env.str("DATABASE_URL", "")
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", 4)

_database = env.dj_db_url("DATABASE_URL", "postgres://yapit@127.0.0.1:1/yapit")
DATABASES = {
    "default": {
        **_database,
        # Under ASGI, persistent connections leak one per request, hence the pool and no CONN_MAX_AGE.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **_database.get("OPTIONS", {}),  # options of the URL, such as ?sslmode=require
            # `reconnect_timeout`: for how long a pool that cannot connect retries at growing intervals. By
            # default this takes minutes, in which requests do not make it connect earlier.
            "pool": {"min_size": 0, "max_size": DATABASE_POOL_SIZE, "timeout": 4, "reconnect_timeout": 4},
            "options": " ".join(
                f"-c {timeout}"
                for timeout in (
                    "lock_timeout=2s",
                    "statement_timeout=10s",
                    "idle_in_transaction_session_timeout=30s",
                )
            ),
        },
    }
}

# --- Stored audio -------------------------------------------------------------------------------------------

AUDIO_DIR = Path(env.str("AUDIO_DIR", str(STATE_DIR / "audio")))
AUDIO_ALIAS = "audio"  # of the store for the audio of blocks
AUDIO_STORES: dict[
    str, dict[str, Any]
] = {  # alias -> class of the store (audiocache.store.Store) and its options
    alias: {
        "class": "audiocache.sqlite.SqliteStore",
        "options": {
            "path": AUDIO_DIR / f"{alias}.sqlite3",
            "limit": env.int(f"{alias.upper()}_LIMIT_MB", 1024) * 1024 * 1024,  # bytes of audio
        },
    }
    for alias in (AUDIO_ALIAS, "documents", "extractions")
}
for _alias, _store in AUDIO_STORES.items():  # of audiocache.sqlite; an entry per file
    DATABASES[_alias] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _store["options"]["path"],
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000",
        },
        "TEST": {"NAME": AUDIO_DIR / f"test_{_alias}.sqlite3", "DEPENDENCIES": []},
    }
DATABASE_ROUTERS = ["audiocache.sqlite.router.AudioRouter"]

# --- Redis: caches, jobs and streams ------------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", "") or "redis://127.0.0.1:1/0"
_redis = config.redis.address.parse(REDIS_URL)
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": _redis.url,
        "KEY_PREFIX": "cache",
        "OPTIONS": {
            # Not pickle, which executes code: clients of Redis could inject it.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.25,
            "SOCKET_TIMEOUT": 1,
            # By default redis-py repeats each command ten times, for up to a minute.
            "CONNECTION_POOL_KWARGS": {
                **_redis.client_options(),
                "retry": Retry(ConstantBackoff(0.02), 1),
            },
        },
    }
}
# Seconds for which a cached response is fresh. After that it is served while the next one is built.
RESPONSE_SECONDS = env.float("RESPONSE_SECONDS", 30.0)
# Build each response once for all web processes, instead of once in each.
SHARED_RESPONSES = env.bool("SHARED_RESPONSES", True)
SESSION_ENGINE = "yapit.accounts.sessions"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_redis.channel_layer_host()], "prefix": "layer"},
    }
}
# Kinds of change events that raise an epoch, and the groups of the channel layer that they wake:
# `credit:42` wakes `account.42`.
EVENT_GROUPS = {
    "access": "account",
    "account": "account",
    "catalog": "catalog",
    "credit": "account",
    "document": "document",
    "keys": "account",
    "preferences": "account",
    "spent": "account",
}
EPOCH_CHECK_SECONDS = 5.0  # connections learn of a change whose message was lost this much later

# --- Synthesis ----------------------------------------------------------------------------------------------

# Model slug -> engine instance: `class`; `options` for its constructor; `workers`, the number of worker
# processes that run_stack starts for it (0); `is_active`, whether `seed` offers a new model to users (True).
ENGINES: dict[str, dict[str, Any]] = {
    "hibari": {"class": "yapit.engines.hibari.HibariEngine", "workers": 1},
    "tone": {"class": "yapit.engines.tone.ToneEngine", "is_active": False},  # for tests
}
DEFAULT_MODEL = "hibari"
JOB_HANDLERS = {  # kind of job -> class that does the work of such jobs, `yapit.jobs.JobHandler`
    "speech": "yapit.synthesis.speech_handler.SpeechHandler",
}
LEASE_SECONDS = env.float("LEASE_SECONDS", 10.0)
RENEW_SECONDS = env.float("RENEW_SECONDS", 2.0)
REAP_SECONDS = env.float("REAP_SECONDS", 0.5)
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", 3)
JOB_DEADLINE_SECONDS = env.float("JOB_DEADLINE_SECONDS", 10.0)  # plus JOB_DEADLINE_PER_CHARACTER for each one
JOB_DEADLINE_PER_CHARACTER = env.float("JOB_DEADLINE_PER_CHARACTER", 0.1)
HOT_AUDIO_SECONDS = env.int("HOT_AUDIO_SECONDS", 300)  # in Redis, counted from the commit in SQLite
UNPERSISTED_LIMIT = env.int("UNPERSISTED_LIMIT_MB", 128) * 1024 * 1024
MAX_AUDIO_BYTES = 10 * 1024 * 1024  # for one block
WAITING_JOBS_LIMIT = env.int("WAITING_JOBS_LIMIT", 2000)  # for each account and model

# Limits of one account, over all web processes.
BLOCKS_PER_MINUTE = env.int("BLOCKS_PER_MINUTE", 300)  # that are not cached
MESSAGES_PER_SECOND = env.float("MESSAGES_PER_SECOND", 20.0)
MESSAGES_BURST = env.int("MESSAGES_BURST", 100)
CONNECTIONS_PER_USER = env.int("CONNECTIONS_PER_USER", 20)
DOCUMENTS_PER_USER = env.int("DOCUMENTS_PER_USER", 50)  # with pending blocks
DOCUMENT_SECONDS = 60  # for which a document counts after the request of its last new block

PERIODIC = [  # (callable that takes a Redis client, seconds between calls), for run_scheduler
    ("yapit.jobs.reap", REAP_SECONDS),
    ("billing.usage.backlog.measure", 5.0),
    ("yapit.jobs.reap_reservations", 60.0),
    ("yapit.jobs.trim_finished", 3600.0),
    ("config.streams.dead_letters.trim", 3600.0),
    ("yapit.usage.leaderboard.roll_up_in_thread", 3600.0),
]
PERIODIC_COLD = [  # the same for calls that may wait for PostgreSQL, in a separate thread
    ("billing.plans.renewal.renew", 60.0),
    ("billing.usage.checks.check_recent", 60.0),
]
DEAD_LETTERS = {  # stream -> the script that replays its dead letters
    "jobs": "yapit.jobs.REPLAY",
    "results": "config.streams.dead_letters.REPLAY",
    "billing": "billing.usage.consumer.REPLAY",
    "persist": "audiocache.persister.REPLAY",
    "orders": "config.streams.dead_letters.REPLAY",
}

# --- Cold consumers -----------------------------------------------------------------------------------------

BILLING_BATCH_SIZE = env.int("BILLING_BATCH_SIZE", 500)
PERSIST_BATCH_SIZE = env.int("PERSIST_BATCH_SIZE", 200)
PERSIST_BATCH_BYTES = 32 * 1024 * 1024
COLD_PAUSE_SECONDS = env.float("COLD_PAUSE_SECONDS", 0.1)  # between batches that are not full
RESULTS_PAUSE_SECONDS = env.float("RESULTS_PAUSE_SECONDS", 0.002)  # the same; listeners wait for results
BILLING_BATCH_HOOKS = ["yapit.synthesis.variants.record", "yapit.usage.account_usage.announce_charges"]
AUDIO_LOST_HOOK = "yapit.jobs.requeue_lost"

# --- Money ------------------------------------------------------------------------------------------------

# Plan of new accounts: self-hosted (unlimited), free, voice, basic, or the slug of another plan.
DEFAULT_PLAN = env.str("DEFAULT_PLAN", "self-hosted")
# Characters of each usage type per month for new accounts. Unset: those of the plan.
DEFAULT_CHARACTER_LIMIT = env.int("DEFAULT_CHARACTER_LIMIT", None, validate=lambda v: v is None or v >= 0)
# Seconds for which a web process caches a balance, unless an event invalidates it.
CREDIT_SECONDS = 900.0
CREDIT_AT_ZERO_SECONDS = 60.0  # the same for an empty balance, and before a request is refused

# --- Sockets ------------------------------------------------------------------------------------------------

DRAIN_SECONDS = env.float("DRAIN_SECONDS", 25.0)
ABANDONED_SECONDS = 15.0  # for which the blocks of a lost connection stay requested
RESYNC_SECONDS = env.float("RESYNC_SECONDS", 2.0)  # while blocks are pending; notifications may be lost
SYNTHESIZE_TIMEOUT = env.float("SYNTHESIZE_TIMEOUT", 60.0)  # of a request for one text
IDENTITY_SECONDS = 30.0  # for which an authentication is cached, unless an event ends it
TICKET_SECONDS = 30
LOGIN_ATTEMPTS = env.int("LOGIN_ATTEMPTS", 10)  # for one user name, before it is throttled
LOGIN_ATTEMPT_SECONDS = env.float("LOGIN_ATTEMPT_SECONDS", 30.0)  # for each further attempt
LOGIN_ATTEMPTS_PER_ADDRESS = env.int("LOGIN_ATTEMPTS_PER_ADDRESS", 100)  # and one per second
KEYS_PER_ACCOUNT = env.int("KEYS_PER_ACCOUNT", 25)  # that are not revoked

# --- Pages, logs, metrics -----------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "yapit/web/static"]
STATIC_ROOT = STATE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
# A document has up to 500,000 characters, each of up to twelve bytes in JSON (\ud83d\ude00).
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
METRICS_PORT = env.int("METRICS_PORT", 0)  # 0: no metrics
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_FORMAT = env.str("LOG_FORMAT", "text", validate=lambda v: v in ("text", "json"))
LOGGING_CONFIG = "config.observability.logging.configure"
# API keys and tickets, which are hidden in log lines: in URLs and exceptions, for example.
SECRETS = r"y[kt]_[0-9a-z_]{20,}"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT, "secrets": SECRETS}

# --- run_stack: all processes on one machine ----------------------------------------------------------------

STACK_PREPARATIONS = [
    ["init_audiocache"],
    ["migrate", "--verbosity", "0"],
    ["migrate_redis"],
    ["seed", "--credentials", "{credentials}"],
]
STACK_PROCESSES = {  # name -> arguments of manage.py
    "web": ["run_web"],
    "results": ["run_results"],
    "scheduler": ["run_scheduler"],
    "billing": ["run_billing"],
    "persister": ["run_persister"],
}
STACK_WORKER = ["run_worker", "--model", "{model}"]  # as often as ENGINES says, named worker-MODEL[-NUMBER]
STACK_DRAINS = [["run_persister", "--drain"]]  # after the processes have ended, before Valkey does
