"""Every setting, in sections. Nothing is created, connected or written here.

Values come from the environment (`make run` sets them itself); an odd value is refused at start-up.
"""

from pathlib import Path

from environs import Env
from redis.backoff import ConstantBackoff
from redis.retry import Retry

import config.database.sqlite  # swaps in a sound SQLite before Django imports sqlite3
import config.redis.address
from config.installation import BASE_DIR, default_state_folder

env = Env()

# --- Who may reach us ---------------------------------------------------------------------------------------

# Django refuses to sign without one; processes that sign nothing (workers, consumers) need none.
SECRET_KEY = env.str("SECRET_KEY", "")
API_KEY_PEPPER = env.str("API_KEY_PEPPER", "") or SECRET_KEY
DEBUG = env.bool("DEBUG", False)
# Single-user: no log-in, one local account, this machine only. `--multi-user` turns log-in on.
MULTI_USER = env.bool("MULTI_USER", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["127.0.0.1", "localhost", "[::1]"])
# Scheme included. A browser's Origin that equals the Host it asked for is always accepted.
CSRF_TRUSTED_ORIGINS: list[str] = env.list("TRUSTED_ORIGINS", [])
AUDIO_PUBLIC = env.bool("AUDIO_PUBLIC", False)
# Browsers come over TLS, which a proxy in front ends. A setting, and no header that anybody could send.
HTTPS = env.bool("HTTPS", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 0)  # told only where HTTPS is set

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
    "billing",
    "yapit",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",  # before the access log: a page has forty of these
    "config.observability.logging.RequestIdMiddleware",
    "config.serving.security_headers.security_headers",
    "yapit.api.http.errors.JsonErrors",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# Of requests under /v1, which know neither forms nor pages: the others would hop to a thread and back, each.
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

# --- PostgreSQL: documents and money ------------------------------------------------------------------------

STATE_DIR = Path(env.str("STATE_DIR", "") or default_state_folder())
DATABASE_URL = env.str("DATABASE_URL", "")
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", 4)

_database = env.dj_db_url("DATABASE_URL", "postgres://yapit@127.0.0.1:1/yapit")
DATABASES = {
    "default": {
        **_database,
        # Persistent connections leak one per request under ASGI, hence the pool and no CONN_MAX_AGE.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **_database.get("OPTIONS", {}),  # what the address itself asks for, e.g. ?sslmode=require
            # `reconnect_timeout`: a pool that cannot connect tries ever more seldom for so long, by default
            # for minutes, and nobody who asks meanwhile makes it try sooner.
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

# --- SQLite: finished audio, one file for each alias --------------------------------------------------------

AUDIO_DIR = Path(env.str("AUDIO_DIR", str(STATE_DIR / "audio")))
AUDIO_ALIASES = ("audio", "documents", "extractions")
AUDIO_LIMITS = {  # bytes of audio kept, for each alias
    alias: env.int(f"{alias.upper()}_LIMIT_MB", 1024) * 1024 * 1024 for alias in AUDIO_ALIASES
}
for _alias in AUDIO_ALIASES:
    DATABASES[_alias] = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": AUDIO_DIR / f"{_alias}.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000",
        },
        "TEST": {"NAME": AUDIO_DIR / f"test_{_alias}.sqlite3"},
    }
DATABASE_ROUTERS = ["audiocache.router.AudioRouter"]

# --- Redis: what is hot and what is on its way --------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", "") or "redis://127.0.0.1:1/0"
_redis = config.redis.address.parse(REDIS_URL)
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": _redis.url,
        "KEY_PREFIX": "cache",
        "OPTIONS": {
            # Pickles are programs, and whoever reaches Redis could leave one.
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_CONNECT_TIMEOUT": 0.25,
            "SOCKET_TIMEOUT": 1,
            # Left alone, redis-py repeats each command ten times, for a minute.
            "CONNECTION_POOL_KWARGS": {
                **_redis.client_options(),
                "retry": Retry(ConstantBackoff(0.02), 1),
            },
        },
    }
}
# How long a cached response is fresh; then it is served while the next one is built.
RESPONSE_SECONDS = env.float("RESPONSE_SECONDS", 30.0)
# One build of a response for all web processes; without, one in each of them.
SHARED_RESPONSES = env.bool("SHARED_RESPONSES", True)
SESSION_ENGINE = "yapit.accounts.sessions"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [_redis.channel_layer_host()], "prefix": "layer"},
    }
}

# --- Synthesis ----------------------------------------------------------------------------------------------

ENGINES = {  # model slug -> engine class; a worker serves one model
    "hibari": "yapit.engines.hibari.HibariEngine",
    "tone": "yapit.engines.tone.ToneEngine",
}
DEFAULT_MODEL = "hibari"
LEASE_SECONDS = env.float("LEASE_SECONDS", 10.0)
RENEW_SECONDS = env.float("RENEW_SECONDS", 2.0)
REAP_SECONDS = env.float("REAP_SECONDS", 0.5)
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", 3)
JOB_DEADLINE_SECONDS = env.float("JOB_DEADLINE_SECONDS", 10.0)  # plus JOB_DEADLINE_PER_CHARACTER for each one
JOB_DEADLINE_PER_CHARACTER = env.float("JOB_DEADLINE_PER_CHARACTER", 0.1)
HOT_AUDIO_SECONDS = env.int("HOT_AUDIO_SECONDS", 300)  # in Redis, counted from the commit in SQLite
UNPERSISTED_LIMIT = env.int("UNPERSISTED_LIMIT_MB", 128) * 1024 * 1024
MAX_AUDIO_BYTES = 10 * 1024 * 1024  # of one block
WAITING_JOBS_LIMIT = env.int("WAITING_JOBS_LIMIT", 2000)  # of one user and model

# What one account may do, over all web processes.
BLOCKS_PER_MINUTE = env.int("BLOCKS_PER_MINUTE", 300)  # that are not there yet
MESSAGES_PER_SECOND = env.float("MESSAGES_PER_SECOND", 20.0)
MESSAGES_BURST = env.int("MESSAGES_BURST", 100)
CONNECTIONS_PER_USER = env.int("CONNECTIONS_PER_USER", 20)
DOCUMENTS_PER_USER = env.int("DOCUMENTS_PER_USER", 50)  # that new blocks are waited for of
DOCUMENT_SECONDS = 60  # that each counts, at most, after the last new block of it was asked for

PERIODIC = [  # (dotted callable that takes a Redis client, seconds between calls), for run_scheduler
    ("yapit.jobs.reap", REAP_SECONDS),
    ("billing.usage.backlog.measure", 5.0),
    ("yapit.jobs.trim_finished", 3600.0),
    ("config.streams.dead_letters.trim", 3600.0),
    ("yapit.usage.leaderboard.roll_up_in_thread", 3600.0),
]
PERIODIC_COLD = [  # the same, of what may wait for PostgreSQL, which jobs must not
    ("billing.plans.renewal.renew", 60.0),
    ("billing.usage.checks.check_recent", 60.0),
]
DEAD_LETTERS = {  # what could not be handled -> the script that sends it in again
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
RESULTS_PAUSE_SECONDS = env.float("RESULTS_PAUSE_SECONDS", 0.002)  # likewise; for these somebody waits
BILLING_BATCH_HOOKS = ["yapit.synthesis.variants.record"]
AUDIO_LOST_HOOK = "yapit.jobs.requeue_lost"

# --- Money ------------------------------------------------------------------------------------------------

# Of new accounts: self-hosted (unlimited), free, voice, basic, or another slug of a plan.
DEFAULT_PLAN = env.str("DEFAULT_PLAN", "self-hosted")
# Characters of each usage type that a new account may spend in a month; unset: what its plan says.
DEFAULT_CHARACTER_LIMIT = env.int("DEFAULT_CHARACTER_LIMIT", None, validate=lambda v: v is None or v >= 0)
# A web process reads a balance again when told of a change, and in any case after this.
CREDIT_SECONDS = 900.0
CREDIT_AT_ZERO_SECONDS = 60.0  # where there is nothing left, and before anybody is refused

# --- Sockets ------------------------------------------------------------------------------------------------

DRAIN_SECONDS = env.float("DRAIN_SECONDS", 25.0)
ABANDONED_SECONDS = 15.0  # a lost connection stops waiting after this, unless the same user asks again
RESYNC_SECONDS = env.float("RESYNC_SECONDS", 2.0)  # while something is pending; notifications may be lost
SYNTHESIZE_TIMEOUT = env.float("SYNTHESIZE_TIMEOUT", 60.0)  # seconds that a request for one text waits
IDENTITY_SECONDS = 30.0  # how long a key, session or account that ended may go unnoticed where no bell told
TICKET_SECONDS = 30
LOGIN_ATTEMPTS = env.int("LOGIN_ATTEMPTS", 10)  # for one name, before it has to wait
LOGIN_ATTEMPT_SECONDS = env.float("LOGIN_ATTEMPT_SECONDS", 30.0)  # for each one more
LOGIN_ATTEMPTS_PER_ADDRESS = env.int("LOGIN_ATTEMPTS_PER_ADDRESS", 100)  # and one more each second
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
# The longest document is 500,000 characters, and JSON may spend twelve bytes on each (\ud83d\ude00).
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
METRICS_PORT = env.int("METRICS_PORT", 0)  # 0: this process serves no metrics
LOG_LEVEL = env.str("LOG_LEVEL", "INFO")
LOG_FORMAT = env.str("LOG_FORMAT", "text", validate=lambda v: v in ("text", "json"))
LOGGING_CONFIG = "config.observability.logging.configure"
# API keys and tickets, in whatever ends up in a line: an address that somebody pasted one into, an exception.
SECRETS = r"y[kt]_[0-9a-z_]{20,}"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT, "secrets": SECRETS}

# --- run_stack: everything on one machine -------------------------------------------------------------------

STACK_PREPARATIONS = [
    ["init_audiocache"],
    ["migrate", "--verbosity", "0"],
    ["migrate_redis"],
    ["seed", "--credentials", "{credentials}"],
]
STACK_PROCESSES = {  # name -> arguments of manage.py
    "web": ["run_web"],
    "worker-hibari": ["run_worker", "--model", "hibari"],
    "results": ["run_results"],
    "scheduler": ["run_scheduler"],
    "billing": ["run_billing"],
    "persister": ["run_persister"],
}
STACK_DRAINS = [["run_persister", "--drain"]]  # after those have ended, while Valkey still runs
