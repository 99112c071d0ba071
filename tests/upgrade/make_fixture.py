"""Makes the fixture of the upgrade test: an installation of the first version, stopped in the middle of work.

Runs in a checkout of commit bceade5, the version to upgrade from, with that checkout's interpreter:

    PYTHONPATH=. .venv/bin/python /path/to/make_fixture.py FOLDER

The processes of that checkout do everything; where something takes longer than this may last (a month that
ended, a day that was rolled up), the entries that its scripts would have written are put into its streams.
The order is fixed, the output is not reproducible byte by byte: ids, secrets and times are new each time.

Written to FOLDER: `postgres.sql` (pg_dump), `appendonlydir/` (of Valkey, as plain commands), `audio/` (SQLite
files), `secrets.json`, `credentials.txt` and `expected.json`, which says what is in the others. All secrets
are of accounts that exist nowhere else.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import psycopg
import redis
from config.embedded.postgres import CARELESS, PostgresServer, packaged_binaries
from config.embedded.program import Keeper, stop, unprivileged_account
from psycopg.rows import dict_row
from websockets.sync.client import ClientConnection, connect

from tests.stack import ROOT, Stack
from tests.waiting import PROCESS_PATIENCE, wait_until
from yapit.client import Client

PASSWORD = "correct horse battery staple"
PEOPLE = ("anna", "bert", "carl", "dora", "emil")
# The limits of production: `tests.stack` lifts them.
LIMITS = {"BLOCKS_PER_MINUTE": "300", "MESSAGES_PER_SECOND": "20", "MESSAGES_BURST": "100"}
FAR_AWAY = "2100-01-01"  # a log-in of the fixture outlasts the fixture
HIBARI_TEXT = "Yes."
OWN, MUTE, BROKEN = "slow", "instant", "unknown-to-the-engine"  # voices, see _make_accounts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where to write the fixture; replaced if it is there")
    target = parser.parse_args().folder.absolute()
    with running_stack() as stack:
        Making(stack, target).make()


@contextlib.contextmanager
def running_stack() -> Iterator[Stack]:
    """Servers, tables and the first accounts in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="yapit-fixture-"))
    folder.chmod(0o711)  # PostgreSQL may be another user
    keeper = Keeper()
    postgres = PostgresServer(
        folder / "postgres", secrets.token_hex(16), unprivileged_account(), settings=CARELESS
    )
    log = (folder / "postgres.log").open("ab")
    process = postgres.start(lambda program: keeper.spawn(program, output=log))
    try:
        os.environ["DATABASE_URL"] = postgres.url
        stack = Stack.launch(folder, MULTI_USER="1", **LIMITS)
        try:
            yield stack
        finally:
            stack.close()
    finally:
        stop(process, postgres.program())
        keeper.close()
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


class Making:
    """One run. `expected` grows to what is written to expected.json."""

    def __init__(self, stack: Stack, target: Path) -> None:
        self.stack = stack
        self.target = target
        self.expected: dict[str, Any] = {}
        self.ids: dict[str, int] = {}
        self.keys: dict[str, str] = {}
        self.documents: dict[str, str] = {}
        self.heard: dict[str, str] = {}  # sha256 of audio by the hash of its variant
        self.sockets = contextlib.ExitStack()

    def make(self) -> None:
        self._make_accounts()
        self._make_the_past()
        self._start_everything()
        self._listen()
        self._browse()
        self._pin()
        self._bury()
        self._leave_usage_pending()
        self._leave_audio_unstored()
        self._leave_results_unfinished()
        self._leave_jobs_waiting()
        self._stop()
        self._collect()

    # --- Before anything runs -------------------------------------------------------------------------------

    def _make_accounts(self) -> None:
        made = self._django(
            """
            from django.contrib.auth.hashers import make_password
            from django.contrib.auth.models import User
            from billing import balances
            from billing.models import Plan
            from billing.services import ensure_subscriptions
            from yapit import granting, keys, roles
            from yapit.models import Profile, TTSModel, Voice

            password = make_password(given["password"])
            people = {name: User.objects.create(username=name, password=password) for name in given["people"]}
            ensure_subscriptions()
            balances.assign(people["anna"].pk, Plan.objects.get(slug="basic"))
            balances.set_limits(people["anna"].pk, standard=5000, premium=2000)
            tokens = {name: keys.create_key(user, "laptop").token for name, user in people.items()}
            lost = keys.create_key(people["bert"], "lost phone")
            keys.revoke(lost.key)

            tone, hibari = (TTSModel.objects.get(slug=slug) for slug in ("tone", "hibari"))
            TTSModel.objects.filter(pk=tone.pk).update(is_active=True)
            TTSModel.objects.filter(pk=hibari.pk).update(usage_type="premium", usage_multiplier_bp=15_000)
            Voice.objects.filter(slug="sine").update(parameters={"ms_per_character": 3})

            # An engine knows its voices by their slugs: one of these is somebody's own, one says nothing.
            quick = {"ms_per_character": 4}
            own = Voice.objects.get(slug="slow")
            own.owner, own.approved, own.parameters = people["anna"], False, quick
            own.save()
            Voice.objects.filter(slug="instant").update(parameters={"fail": "nothing"})
            Voice.objects.create(
                slug="unknown-to-the-engine", name="Unknown", model=tone, language="en", approved=True,
                description="Each of its jobs ends with an error.", parameters=quick,
            )
            Profile.objects.create(user=people["anna"], is_tester=True, is_reviewer=True)
            roles.add_testers([people["bert"].pk])
            granting.grant([own.pk], [people["bert"].pk])
            first = hibari.voices.filter(is_active=True).order_by("id").first().slug
            print(json.dumps({
                "ids": {user.username: user.pk for user in User.objects.all()},
                "tokens": tokens, "revoked": lost.token, "hibari": first,
            }))
            """,
            password=PASSWORD,
            people=PEOPLE,
        )
        self.ids, self.keys, self.hibari = made["ids"], made["tokens"], made["hibari"]
        self.revoked = made["revoked"]

    def _make_the_past(self) -> None:
        """A month that ended, with what it left over, and a day that was rolled up; by billing alone."""
        shared = self._add_document_in_django("anna", "Shared by Anna", 3, is_public=True)
        self.stack.start("billing", "run_billing")
        now = datetime.now(UTC)
        last_month = (now.replace(day=1) - timedelta(days=1)).replace(day=10, hour=12, minute=0, second=0)
        self._django(
            "from billing.renewal import close_ended; close_ended(datetime.fromisoformat(given['at']))",
            at=(last_month - timedelta(days=5)).isoformat(),
        )
        self._finalized("anna", last_month, 400, usage_type="premium", model="hibari", multiplier_bp=15_000)
        self._finalized("anna", last_month, 70)
        self._finalized("bert", last_month + timedelta(hours=1), 50)
        yesterday = datetime.combine(now.date() - timedelta(days=1), time(12), UTC)
        for name in PEOPLE:
            self._finalized(name, yesterday, 40 + len(name), document=shared, is_remembered=True)
        self._until_empty("billing")
        self.stack.manage("roll_up_leaderboard")
        self._django(
            """
            from billing import balances, renewal
            from billing.events import UsageType

            renewal.close_ended()
            by = {"operator": "admin"}
            anna, bert = given["anna"], given["bert"]
            balances.correct(anna, UsageType.STANDARD, -30, reason="not counted on the 3rd", **by)
            balances.grant(anna, UsageType.STANDARD, 100, reason="a present", **by)
            balances.grant(anna, UsageType.PREMIUM, 500, reason="a present", **by)
            balances.correct(bert, UsageType.STANDARD, 12, reason="charged for noise", **by)
            """,
            anna=self.ids["anna"],
            bert=self.ids["bert"],
        )

    def _finalized(
        self,
        name: str,
        at: datetime,
        characters: int,
        *,
        usage_type: str = "standard",
        model: str = "tone",
        multiplier_bp: int = 10_000,
        document: str = "",
        is_remembered: bool = False,
    ) -> None:
        """The entries that FINALIZE writes for a billed job, at a given time."""
        job_id, at_ms = secrets.token_hex(16), round(at.timestamp() * 1000)
        entry = {
            "id": job_id,
            "user": self.ids[name],
            "chars": characters,
            "multiplier_bp": multiplier_bp,
            "cost": -(-characters * multiplier_bp // 10_000),
            "usage_type": usage_type,
            "billable": 1,
            "hash": hashlib.sha256(job_id.encode()).hexdigest(),
            "model": model,
            "voice": self.hibari if model == "hibari" else "sine",
            "document": document,
            "duration_ms": 71 * characters,
            "created_ms": at_ms,
        }
        with self.stack.redis as client:
            if is_remembered:
                client.zadd("finished", {job_id: at_ms})
            client.xadd("billing", entry)

    # --- While everything runs ------------------------------------------------------------------------------

    def _start_everything(self) -> None:
        stack = self.stack
        (stack.folder / "audio" / "extractions.sqlite3").write_bytes(b"no file of ours" * 5000)  # is replaced
        stack.start("results", "run_results")
        stack.start("persister", "run_persister")
        stack.start("scheduler", "run_scheduler")
        stack.start("worker", "run_worker", "--model", "tone")
        stack.start("worker-hibari", "run_worker", "--model", "hibari")
        stack.start_web()

    def _listen(self) -> None:
        self._add_document("anna", "Morning", 3)
        self._add_document("anna", "Own voice", 1)
        self._add_document("bert", "Berts list", 2)
        self._add_document("bert", "Nothing and errors", 1)
        self.morning = self._speak("anna", "Morning", "sine")
        self._speak("anna", "Own voice", OWN)
        self._speak("anna", "Shared by Anna", "sine")
        self._speak("bert", "Berts list", "sine")
        self._speak("bert", "Shared by Anna", OWN)  # of somebody else, in a voice shared with him
        self._speak("bert", "Nothing and errors", MUTE)
        asyncio.run(self._synthesize("anna", HIBARI_TEXT, self.hibari))
        self._until_empty("results", "billing", "persist", "orders")

        self._call("anna", "PATCH", f"/v1/documents/{self.documents['Morning']}/position", {"block_idx": 2})
        shared = self.documents["Shared by Anna"]
        self._call("bert", "PATCH", f"/v1/documents/{shared}/position", {"block_idx": 1})
        chosen = {"pinned_voices": ["sine", OWN], "default_voice": "sine", "default_speed": 1.25}
        self._call("anna", "PATCH", "/v1/me/preferences", {**chosen, "usage_threshold": 60})
        self._call("bert", "PATCH", "/v1/me/preferences", {"usage_threshold": None})

    def _browse(self) -> None:
        """Response caches, a log-in, guesses at passwords."""
        shared = self.documents["Shared by Anna"]
        self._django(
            """
            from config import caching
            from yapit import attempts, changes
            attempts.take("anna", "8.8.8.8")
            caching.clear("voices")
            changes.catalog_changed()
            """
        )
        for path in (
            "/v1/models",
            "/v1/audio/models",
            "/v1/audio/voices",
            "/v1/leaderboard/recent",
            f"/v1/documents/{shared}/blocks",
            f"/v1/documents/{shared}/sections",
        ):
            self._call("bert", "GET", path)
        self.cookie = self._log_in("anna")

    def _log_in(self, name: str) -> str:
        cookies = CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        address = self.stack.url + "/login/"
        with opener.open(address, timeout=PROCESS_PATIENCE) as page:
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
        assert token
        form = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
        request = urllib.request.Request(
            address, urllib.parse.urlencode(form).encode(), {"Origin": self.stack.url}
        )
        opener.open(request, timeout=PROCESS_PATIENCE).close()
        return next(cookie.value or "" for cookie in cookies if cookie.name == "sessionid")

    def _pin(self) -> None:
        for title in ("Shared by Anna", "Berts list"):
            self.stack.manage("warm_audio", "--document", self.documents[title], "--voice", "sine")

    def _bury(self) -> None:
        """A dead letter in each stream, and a job whose every attempt failed."""
        self._add_document("anna", "Given up", 1)
        self.stack.stop("worker")
        with self._connecting("anna") as socket:
            self._ask(socket, "Given up", [0], "sine")
            self._django(
                """
                from config import redis as redis_clients
                from yapit import jobs
                with redis_clients.sync() as client:
                    for _ in range(3):
                        job = jobs.claim(client, "tone", "unlucky")
                        jobs.fail_attempt(client, job.id, "unlucky", "engine_failed")
                """
            )
        self.stack.start("worker")
        lost = hashlib.sha256(b"lost").hexdigest()
        with self.stack.redis as client:
            client.xadd("results", {"id": "of-a-stranger"})
            client.xadd("billing", {"id": "of-a-stranger", "user": self.ids["bert"], "cost": "many"})
            client.incrby("unpersisted", 10)
            client.xadd("persist", {"hash": lost, "size": 10, "job": b"\xc1"})  # neither audio nor a job
            client.xadd("orders", {"alias": "audio", "kind": "burn", "hash": lost, "at_ms": 0})
        streams = ("jobs", "results", "billing", "persist", "orders")
        self._until(lambda client: all(client.xlen(f"dead:{stream}") == 1 for stream in streams))

    # --- Process by process, from the last to the first -----------------------------------------------------

    def _leave_usage_pending(self) -> None:
        """Delivered to run_billing, which waits for a locked row when it is killed; not acknowledged."""
        self._add_document("bert", "Delivered and not charged", 2)
        with psycopg.connect(self.stack.env["DATABASE_URL"]) as lock:
            holding = "SELECT 1 FROM billing_subscription WHERE user_id = %s FOR UPDATE"
            lock.execute(holding, [self.ids["bert"]])
            self._speak("bert", "Delivered and not charged", "sine")
            self._until(lambda client: client.xpending("billing", "billing")["pending"] == 2)
            self.stack.kill("billing")

    def _leave_audio_unstored(self) -> None:
        """In Redis only, with orders that nobody carried out, and usage that was never delivered."""
        self._until_empty("persist", "orders")
        self.stack.stop("persister")
        with self.stack.redis as client:  # as after five minutes in which nobody asked for them
            client.delete(*(f"audio:{variant}" for variant in self.morning))
        self._add_document("anna", "Not in SQLite", 2)
        self._add_document("bert", "Not in SQLite either", 1)
        hot = self._speak("anna", "Not in SQLite", "sine")
        self._speak("bert", "Not in SQLite either", "sine")
        asyncio.run(self._synthesize("anna", "Hm.", self.hibari))
        pinned = self._speak("bert", "Berts list", "sine")
        removed = self._speak("anna", "Own voice", OWN)
        self._until(lambda client: client.xlen("orders") >= 1)  # the touches, told once a second
        self._orders = {"pin": hot[0], "unpin": pinned[0], "delete": removed[0]}
        self._django(
            """
            from audiocache import orders
            from config import redis as redis_clients
            with redis_clients.sync() as client:
                orders.pin(client, "audio", [given["pin"]])
                orders.unpin(client, "audio", [given["unpin"]])
                orders.delete(client, "audio", [given["delete"]])
            """,
            **self._orders,
        )

    def _leave_results_unfinished(self) -> None:
        """Handed in by workers: audio, nothing to say, and an error; whoever asked waits."""
        self.stack.stop("results")
        self._add_document("anna", "Handed in", 2)
        self._add_document("bert", "Handed in for Bert", 1)
        self._add_document("bert", "Silence", 1)
        self._add_document("bert", "Failure", 1)
        self.anna, self.bert = (
            self.sockets.enter_context(self._connecting(name)) for name in ("anna", "bert")
        )
        anna, bert = self.anna, self.bert
        self._ask(anna, "Handed in", [0, 1], "sine")
        self._ask(bert, "Handed in for Bert", [0], "sine")
        self._ask(bert, "Silence", [0], MUTE)
        self._ask(bert, "Failure", [0], BROKEN)
        self._until(lambda client: client.xlen("results") == 5)
        self.stack.stop("worker")
        self.stack.stop("worker-hibari")

    def _leave_jobs_waiting(self) -> None:
        """Of two models and three queues; some heads of them were claimed by workers that died."""
        self.stack.stop("scheduler")
        self._add_document("anna", "Waiting", 4)
        self._add_document("bert", "Waiting for Bert", 3)
        self._add_document("anna", "Wanted by both", 1)
        self._share("Wanted by both")
        self._add_document("anna", "Waiting for hibari", 1, text="No.")
        anna, bert = self.anna, self.bert
        self._ask(anna, "Waiting", [0, 1], "sine", priority="playing")
        self._ask(anna, "Waiting", [2, 3], "sine", priority="prefetch")
        self._ask(bert, "Waiting for Bert", [0, 1, 2], "sine")
        self._ask(anna, "Wanted by both", [0], "sine")
        self._ask(bert, "Wanted by both", [0], "sine")
        self._ask(anna, "Waiting for hibari", [0], self.hibari)
        self._claimed = self._django(
            """
            from config import redis as redis_clients, scripts
            from config.wire import Wire
            from yapit import catalog, jobs, spoken_blocks
            with redis_clients.sync() as client:
                spoken = catalog.resolve(None, "sine", given["admin"])
                asked = jobs.Asked(
                    spoken_blocks.work_of("Made before anybody asks.", spoken),
                    priority=jobs.Priority.WARM, billable=False,
                )
                scripts.run(client, jobs.enqueue_call(given["admin"], [asked], {}))
                claimed = [jobs.claim(client, "tone", worker) for worker in ("died-1", "died-2")]
                # The second died between the two halves of its submission.
                upload = jobs._upload(claimed[1].id, "died-2", b"half of a submission")
                client.execute_command(*upload[0])
            print(json.dumps([job.id for job in claimed]))
            """,
            admin=self.ids["admin"],
        )

    def _stop(self) -> None:
        """The web process is killed: what its listeners wait for, and their places, stay."""
        self._call("bert", "POST", "/v1/ws/ticket", status=201)
        self._hear_everything()
        self.ticket = self._call("bert", "POST", "/v1/ws/ticket", status=201)["ticket"]
        self.stack.kill("web")
        self.sockets.close()
        assert not self.stack.processes
        self._leave_entries_pending()

    def _leave_entries_pending(self) -> None:
        """As consumers do that are killed with a batch in hand."""
        with self.stack.redis as client:
            for stream, group, consumer in (
                ("results", "results", "results-0"),
                ("results", "results", "results-1"),  # of a second process that is not started again
                ("persist", "persister", "persister-0"),
                ("orders", "persister", "persister-0"),
            ):
                client.xreadgroup(group, consumer, {stream: ">"}, count=1)

    def _hear_everything(self) -> None:
        """All audio that can be fetched, whoever asked for it."""
        with self.stack.redis as client:
            hashes = {key.decode().partition(":")[2] for key in client.scan_iter("audio:*")}
        with sqlite3.connect(self.stack.folder / "audio" / "audio.sqlite3") as database:
            hashes |= {key.hex() for (key,) in database.execute("SELECT key FROM entry")}
        for variant in sorted(hashes):
            audio = self._call("anna", "GET", f"/v1/audio/{variant}")
            self.heard[variant] = hashlib.sha256(audio).hexdigest()

    # --- Collecting the fixture -----------------------------------------------------------------------------

    def _collect(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir(parents=True)
        with psycopg.connect(self.stack.env["DATABASE_URL"], row_factory=dict_row) as database:
            database.execute("UPDATE django_session SET expire_date = %s", [FAR_AWAY])
            database.commit()
            self._describe_accounts()
            self._describe_database(database)
        with self.stack.redis as client:
            self._describe_redis(client)
            self._rewrite_log(client)
        assert self.stack.valkey_process
        stop(self.stack.valkey_process, self.stack.valkey.program())
        shutil.copytree(self.stack.valkey.folder / "appendonlydir", self.target / "appendonlydir")
        self._copy_audio()
        self._describe_audio()
        self._dump()
        kept = {name: self.stack.env[name] for name in ("SECRET_KEY", "API_KEY_PEPPER")}
        about = "Of an installation that was made for a test and exists nowhere else."
        self._write("secrets.json", {"about": about, **kept})
        shutil.copy(self.stack.credentials, self.target / "credentials.txt")
        self._write("expected.json", self.expected)

    def _describe_accounts(self) -> None:
        revision = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        self.expected["made_by"] = revision.stdout.strip()
        self.expected["accounts"] = {
            name: {"id": self.ids[name], "password": PASSWORD, "key": self.keys[name]} for name in PEOPLE
        }
        self.expected["accounts"]["anna"]["session"] = self.cookie
        self.expected["accounts"]["bert"]["revoked_key"] = self.revoked
        self.expected["ticket"] = self.ticket  # bert's, and not used

    def _describe_database(self, database: "psycopg.Connection[dict[str, Any]]") -> None:
        def rows(query: str) -> list[dict[str, Any]]:
            return database.execute(query).fetchall()

        self.expected["documents"] = rows(
            "SELECT d.id, owner_id AS owner, title, markdown, is_public,"
            " (SELECT json_agg(text ORDER BY index) FROM yapit_block b WHERE b.document_id = d.id) AS blocks"
            " FROM yapit_document d JOIN auth_user u ON u.id = owner_id WHERE username <> 'admin'"
            " ORDER BY created, d.id"
        )
        for name, query in {
            "positions": "SELECT user_id, document_id, block_idx, played_at FROM yapit_playback"
            " ORDER BY user_id, document_id",
            "preferences": "SELECT * FROM yapit_preferences ORDER BY user_id",
            "roles": "SELECT * FROM yapit_profile ORDER BY user_id",
            "api_keys": "SELECT id, user_id, name, revoked_at FROM yapit_apikey ORDER BY id",
            "voices": "SELECT v.slug, m.slug AS model, owner_id AS owner, approved, v.parameters,"
            " (SELECT coalesce(json_agg(user_id ORDER BY user_id), '[]') FROM yapit_voice_testers t"
            " WHERE t.voice_id = v.id) AS testers FROM yapit_voice v JOIN yapit_ttsmodel m ON m.id = model_id"
            " WHERE m.slug = 'tone' ORDER BY v.slug",
            "models": "SELECT slug, usage_type, usage_multiplier_bp, is_active, revision, codec"
            " FROM yapit_ttsmodel ORDER BY slug",
            "variants": "SELECT * FROM yapit_blockvariant ORDER BY hash",
            "leaderboard": "SELECT * FROM yapit_leaderboardrow ORDER BY day, kind, rank",
            "ledger": "SELECT * FROM billing_ledgerentry ORDER BY id",
            "subscriptions": "SELECT * FROM billing_subscription ORDER BY user_id",
            "periods": "SELECT * FROM billing_usageperiod ORDER BY user_id, usage_type, start",
        }.items():
            self.expected[name] = rows(query)

    def _describe_redis(self, client: redis.Redis) -> None:
        seconds, microseconds = client.time()  # type: ignore[misc]
        self.expected["made_at_ms"] = seconds * 1000 + microseconds // 1000
        keys = {key.decode(): described(client, key.decode()) for key in sorted(client.scan_iter())}
        # Keys that expired during the description are left out.
        self.expected["redis"] = keys = {name: key for name, key in keys.items() if key["type"] != "none"}
        jobs = {name.partition(":")[2]: keys[name]["value"] for name in keys if name.startswith("job:")}
        submitted = {entry["id"]: entry["outcome"] for _, entry in keys["results"]["value"]["entries"]}
        told = ("hash", "user", "owner", "model", "voice", "cost", "attempts")
        self.expected["jobs"] = {
            job_id: {
                "state": "submitted" if job_id in submitted else _state(job_id, self._claimed),
                "ends": submitted.get(job_id, "c"),
                "is_charged": job["billable"] == "1" and submitted.get(job_id, "c") == "c",
                **{name: job[name] for name in told},
            }
            for job_id, job in jobs.items()
        }
        self.expected["uncharged"] = [
            {"id": entry["id"], "user": int(entry["user"]), "cost": int(entry["cost"])}
            for _, entry in keys["billing"]["value"]["entries"]
            if entry["billable"] == "1"
        ]
        self.expected["orders"] = self._orders

    def _rewrite_log(self, client: redis.Redis) -> None:
        """As plain commands: the restoring side moves the times at which keys expire."""
        client.config_set("aof-use-rdb-preamble", "no")
        client.bgrewriteaof()

        def is_rewritten() -> bool:
            about: Any = client.info("persistence")
            return not about["aof_rewrite_in_progress"] and not about["aof_rewrite_scheduled"]

        wait_until(is_rewritten, PROCESS_PATIENCE)

    def _copy_audio(self) -> None:
        """The log written back, so that the file is all there is."""
        (self.target / "audio").mkdir()
        for path in sorted((self.stack.folder / "audio").glob("*.sqlite3")):
            with contextlib.closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(path, self.target / "audio" / path.name)

    def _describe_audio(self) -> None:
        with contextlib.closing(sqlite3.connect(self.target / "audio" / "audio.sqlite3")) as database:
            stored = {
                key.hex(): bool(pinned) for key, pinned in database.execute("SELECT key, pinned FROM entry")
            }
        # To look was to make files beside it.
        for leftover in (self.target / "audio").glob("*.sqlite3-*"):
            leftover.unlink()
        self.expected["audio"] = {
            variant: {
                "sha256": digest,
                "is_in_sqlite": variant in stored,
                "is_in_redis": f"audio:{variant}" in self.expected["redis"],
                "is_pinned": stored.get(variant, False),
            }
            for variant, digest in sorted(self.heard.items())
        }

    def _dump(self) -> None:
        command = [
            str(packaged_binaries() / "pg_dump"),
            *("--no-owner", "--no-privileges", "--file", str(self.target / "postgres.sql")),
            self.stack.env["DATABASE_URL"],
        ]
        subprocess.run(command, check=True, timeout=PROCESS_PATIENCE)

    def _write(self, name: str, content: object) -> None:
        text = json.dumps(content, indent=1, ensure_ascii=False, default=_plain)
        (self.target / name).write_text(text + "\n")

    # --- Tools ----------------------------------------------------------------------------------------------

    def _django(self, code: str, **given: object) -> Any:
        """Run it inside Django, with `given`; return what it prints as JSON, if anything."""
        head = f"import json\nfrom datetime import datetime\ngiven = json.loads({json.dumps(given)!r})\n"
        lines = code.strip("\n").splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        printed = self.stack.manage("shell", "-v0", "-c", head + "\n".join(line[indent:] for line in lines))
        return json.loads(printed) if printed.strip() else None

    def _until(self, holds: Callable[[redis.Redis], object]) -> None:
        with self.stack.redis as client:
            wait_until(lambda: holds(client), PROCESS_PATIENCE)

    def _until_empty(self, *streams: str) -> None:
        self._until(lambda client: not any(client.xlen(stream) for stream in streams))

    def _call(self, name: str, method: str, path: str, body: object = None, status: int = 200) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[name]}"}
        got, answer, _ = self.stack.request(method, path, body, headers)
        assert got == status, (path, got, answer)
        return answer

    def _add_document(self, name: str, title: str, count: int, *, text: str = "") -> None:
        content = text or _paragraphs(title, count)
        body = {"content": content, "title": title, "markdown": False}
        made = self._call(name, "POST", "/v1/documents/text", body, 201)
        assert made["block_count"] == count, made
        self.documents[title] = made["id"]

    def _add_document_in_django(self, name: str, title: str, count: int, *, is_public: bool) -> str:
        """Before there is a web process; in Markdown."""
        self.documents[title] = self._django(
            """
            from yapit import documents
            made = documents.create_text(given["owner"], given["content"], title=given["title"]).document
            documents.change(made.pk, given["owner"], is_public=given["is_public"])
            assert made.block_count == given["count"], made.block_count
            print(json.dumps(str(made.pk)))
            """,
            owner=self.ids[name],
            content=_paragraphs(title, count),
            title=title,
            is_public=is_public,
            count=count,
        )
        return self.documents[title]

    def _share(self, title: str) -> None:
        self._call("anna", "PATCH", f"/v1/documents/{self.documents[title]}", {"is_public": True})

    def _speak(self, name: str, title: str, voice: str) -> list[str]:
        """Hear all of it. Returns the hashes."""
        return asyncio.run(self._speak_all(name, title, voice))

    async def _speak_all(self, name: str, title: str, voice: str) -> list[str]:
        hashes = []
        async with Client(self.stack.url, self.keys[name]) as client:
            async for status in client.statuses(self.documents[title], voice=voice):
                if status.status == "cached":
                    await client.audio(str(status.audio_url))
                    hashes.append(str(status.audio_url).rpartition("/")[2])
        return hashes

    async def _synthesize(self, name: str, text: str, voice: str) -> None:
        async with Client(self.stack.url, self.keys[name]) as client:
            await client.synthesize(text, voice=voice)

    def _connecting(self, name: str) -> ClientConnection:
        """Closes at the end of the context."""
        return connect(
            self.stack.socket_url,
            additional_headers={"Authorization": f"Bearer {self.keys[name]}"},
            open_timeout=PROCESS_PATIENCE,
        )

    def _ask(self, socket: ClientConnection, title: str, indices: list[int], voice: str, **more: str) -> None:
        """Returns when all of them are queued."""
        wanted = {"document_id": self.documents[title], "block_indices": indices, "voice": voice}
        socket.send(json.dumps({"type": "synthesize", **wanted, **more}))
        for _ in indices:
            frame = json.loads(socket.recv(PROCESS_PATIENCE))
            assert frame.get("status") == "queued", frame


def _paragraphs(title: str, count: int) -> str:
    return "\n\n".join(f"{title}, passage {number}, which is a block." for number in range(count))


def _state(job_id: str, claimed: list[str]) -> str:
    return "claimed" if job_id in claimed else "queued"


def described(client: redis.Redis, key: str) -> dict[str, Any]:
    """Type, whether it expires, and value of a key, as JSON can say it."""
    reply: Any = client
    kind = reply.type(key).decode()
    value: Any = None
    if kind == "string":
        value = _shown(reply.get(key))
    elif kind == "hash":
        value = {_shown(name): _shown(field) for name, field in sorted(reply.hgetall(key).items())}
    elif kind == "list":
        value = [_shown(item) for item in reply.lrange(key, 0, -1)]
    elif kind == "set":
        value = sorted(_shown(member) for member in reply.smembers(key))
    elif kind == "zset":
        value = {_shown(member): score for member, score in reply.zrange(key, 0, -1, withscores=True)}
    elif kind == "stream":
        value = _stream(reply, key)
    return {"type": kind, "expires": reply.pttl(key) >= 0, "value": value}


def _stream(reply: Any, key: str) -> dict[str, Any]:
    entries = [
        [entry_id.decode(), {_shown(name): _shown(field) for name, field in fields.items()}]
        for entry_id, fields in reply.xrange(key)
    ]
    groups = {}
    for group in reply.xinfo_groups(key):
        name = group["name"].decode()
        pending = reply.xpending_range(key, name, "-", "+", 1000)
        groups[name] = {
            "last_delivered": group["last-delivered-id"].decode(),
            "consumers": sorted(each["name"].decode() for each in reply.xinfo_consumers(key, name)),
            "pending": {
                each["message_id"].decode(): [each["consumer"].decode(), each["times_delivered"]]
                for each in pending
            },
        }
    return {"entries": entries, "groups": groups}


def _shown(value: bytes) -> Any:
    """As text, or what identifies it."""
    with contextlib.suppress(UnicodeDecodeError):
        text = value.decode()
        if text.isprintable() or not text:
            return text
    return {"sha256": hashlib.sha256(value).hexdigest(), "bytes": len(value)}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)


if __name__ == "__main__":
    main()
