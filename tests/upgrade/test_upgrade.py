"""Upgrade from the first version: data left in the middle of work is kept, finished and charged once."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg.rows import dict_row

from config.database.sqlite import sqlite3
from tests.stack import ROOT, Stack
from tests.upgrade import with_tone
from tests.upgrade.restore import expected, restore
from tests.waiting import PROCESS_PATIENCE, wait_until
from tests.yapit.audio.ogg_decoding import heard, silence_at_ends
from yapit.client import Client

pytestmark = pytest.mark.slow

STREAMS = {"results": "results", "billing": "billing", "persist": "persister", "orders": "persister"}
UNFINISHED_WORK = (
    "job:*",
    "inflight:*",
    "subs:*",
    "res:*",
    "queue:*",
    "leases",
    "reserved:*",
    "reservations",
)
EARLIER_NAMES = ("due:*", "asked:*", "counted-due", "day:????-??-??")


class Upgraded:
    """`run_stack` in a restored state folder."""

    def __init__(self, state):
        self.state = state
        self.log = state.parent / "stack.log"
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        self.env = {**kept, "DJANGO_SETTINGS_MODULE": with_tone.__name__, "DRAIN_SECONDS": "2"}
        command = [sys.executable, "manage.py", "run_stack", "--state", str(state), "--port", "0"]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--multi-user"], cwd=ROOT, env=self.env, stdout=output, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self):
        wait_until(lambda: self.process.poll() is not None or "Yapit is ready" in self.text, PROCESS_PATIENCE)
        assert self.process.poll() is None, self.text
        self.url = re.search(r"Yapit is ready: (http://\S+?)/?\n", self.text)[1]
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PROCESS_PATIENCE)

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    @property
    def _secrets(self):
        return json.loads((self.state / "kept.json").read_text())

    @property
    def database_url(self):
        home = Path(self._secrets.get("postgres_home", self.state / "postgres"))
        port = (home / "data" / "postmaster.pid").read_text().splitlines()[3]
        return f"postgres://yapit:{self._secrets['POSTGRES_PASSWORD']}@127.0.0.1:{port}/yapit"

    @property
    def redis_url(self):
        configuration = (self.state / "valkey" / "valkey.conf").read_text()
        port = re.search(r"^port (\d+)$", configuration, re.MULTILINE)[1]
        return f"redis://:{self._secrets['VALKEY_PASSWORD']}@127.0.0.1:{port}/0"

    def redis(self):
        return redis.Redis.from_url(self.redis_url, single_connection_client=True)

    def rows(self, query, *values):
        with psycopg.connect(self.database_url, row_factory=dict_row) as database:
            return database.execute(query, values).fetchall()

    def manage(self, *args):
        secrets = {name: self._secrets[name] for name in ("SECRET_KEY", "API_KEY_PEPPER")}
        urls = {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, "STATE_DIR": str(self.state)}
        return subprocess.run(
            [sys.executable, "manage.py", *args],
            cwd=ROOT,
            env={**self.env, **secrets, **urls, "MULTI_USER": "1"},
            capture_output=True,
            text=True,
            timeout=PROCESS_PATIENCE,
        )

    request, get = Stack.request, Stack.get

    def stored(self):
        """{hash: whether it is pinned} of the audio in SQLite."""
        address = f"{(self.state / 'audio' / 'audio.sqlite3').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            rows = database.execute("SELECT key, pinned FROM entry")
            return {key.hex(): bool(pinned) for key, pinned in rows}


@pytest.fixture(scope="module")
def content():
    """The content of the fixture, as the earlier version described it."""
    return expected()


@pytest.fixture(scope="module")
def stack():
    """The upgraded stack after it has finished all work of the fixture."""
    folder = Path(tempfile.mkdtemp(prefix="yapit-upgrade-"))  # where PostgreSQL can go, unlike pytest's own
    folder.chmod(0o755)
    restore(folder / "state")
    stack = Upgraded(folder / "state")
    try:
        stack.wait_until_ready()
        with stack.redis() as client:
            wait_until(lambda: not unfinished(client), PROCESS_PATIENCE, "work is unfinished")
        stack.ledger = stack.rows("SELECT * FROM billing_ledgerentry ORDER BY id")
        stack.balances = stack.rows("SELECT * FROM billing_balance")
        stack.periods = stack.rows("SELECT * FROM billing_usageperiod")
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def unfinished(client):
    found = [key for pattern in UNFINISHED_WORK for key in client.scan_iter(pattern, count=1000)]
    for stream, group in STREAMS.items():
        found += client.xrange(stream)
        groups = client.xinfo_groups(stream) if client.exists(stream) else []
        found += [each for each in groups if each["name"] == group.encode() and each["pending"]]
    return found


@pytest.fixture
def ask(stack, content):
    """A function that calls the API as an account and asserts the status."""

    def ask(name, path, method="GET", body=None, status=200):
        key = {"Authorization": f"Bearer {content['accounts'][name]['key']}"}
        got, answer, _ = stack.request(method, path, body, key)
        assert got == status, answer
        return answer

    return ask


def name_of(content, user_id):
    return next(name for name, account in content["accounts"].items() if account["id"] == user_id)


# --- Accounts and their data ------------------------------------------------------------------------------


def test_api_keys_stay_valid_and_revoked_ones_stay_revoked(stack, content, ask):
    for name, account in content["accounts"].items():
        assert ask(name, "/v1/me")["id"] == account["id"]
    revoked = content["accounts"]["bert"]["revoked_key"]
    assert stack.get("/v1/me", Authorization=f"Bearer {revoked}")[0] == 401


def test_a_session_stays_logged_in(stack, content):
    status, me, _ = stack.get("/v1/me", Cookie=f"sessionid={content['accounts']['anna']['session']}")
    assert (status, me["username"], me["via"]) == (200, "anna", "session")


def test_documents_keep_their_text_and_visibility(content, ask):
    for document in content["documents"]:
        owner = name_of(content, document["owner"])
        found = ask(owner, f"/v1/documents/{document['id']}")
        assert (found["title"], found["is_public"]) == (document["title"], document["is_public"])
        blocks = ask(owner, f"/v1/documents/{document['id']}/blocks")["data"]
        assert [block["text"] for block in blocks] == document["blocks"]
        assert {block["pause_ms"] for block in blocks} == {250}  # they were stored before there were pauses
        other = "bert" if owner == "anna" else "anna"
        ask(other, f"/v1/documents/{document['id']}", status=200 if document["is_public"] else 404)


def test_positions_and_preferences_are_kept(content, ask):
    for position in content["positions"]:
        found = ask(name_of(content, position["user_id"]), f"/v1/documents/{position['document_id']}")
        assert found["position"]["block_idx"] == position["block_idx"]
    for chosen in content["preferences"]:
        found = ask(name_of(content, chosen["user_id"]), "/v1/me/preferences")
        assert found["pinned_voices"] == chosen["pinned_voices"]
        assert found["default_speed"] == chosen["default_speed"]
        assert found["usage_threshold"] == chosen["usage_threshold"]


def test_a_private_voice_is_offered_to_its_owner_and_its_testers(content, ask):
    [own] = [voice for voice in content["voices"] if voice["owner"]]
    offered = {
        name: own["slug"] in [voice["id"] for voice in ask(name, "/v1/audio/voices")["data"]]
        for name in content["accounts"]
    }
    assert {name for name, is_offered in offered.items() if is_offered} == {"anna", "bert"}


# --- Audio ------------------------------------------------------------------------------------------------


def test_audio_is_served_unchanged(content, ask):
    for variant, audio in content["audio"].items():
        if variant != content["orders"]["delete"]:
            found = ask("anna", f"/v1/audio/{variant}")
            assert hashlib.sha256(found).hexdigest() == audio["sha256"]


def test_audio_is_in_sqlite_and_orders_were_carried_out(stack, content):
    stored = stack.stored()
    kept = {variant: audio["is_pinned"] for variant, audio in content["audio"].items()}
    del kept[content["orders"]["delete"]]
    kept[content["orders"]["pin"]] = True
    kept[content["orders"]["unpin"]] = False
    assert {variant: stored.get(variant) for variant in kept} == kept
    assert content["orders"]["delete"] not in stored


def test_waiting_jobs_were_finished(stack, content, ask):
    for job in content["jobs"].values():
        if job["ends"] == "c":
            assert ask("anna", f"/v1/audio/{job['hash']}").startswith(b"OggS")
            assert job["hash"] in stack.stored()
        else:
            ask("anna", f"/v1/audio/{job['hash']}", status=404)


def hashes_heard(stack, content, document, voice):
    """Variant hashes of all blocks of a document, announced to its listener."""

    async def hear():
        async with Client(stack.url, content["accounts"]["anna"]["key"]) as client:
            statuses = [status async for status in client.statuses(document["id"], voice=voice)]
            return [status for status in statuses if status.status != "queued"]

    heard_blocks = asyncio.run(hear())
    assert [status.status for status in heard_blocks] == ["cached"] * len(document["blocks"])
    with stack.redis() as client:
        wait_until(lambda: not unfinished(client), PROCESS_PATIENCE)
    return [status.audio_url.rpartition("/")[2] for status in heard_blocks]


def ledger_size(stack):
    return stack.rows("SELECT count(*) FROM billing_ledgerentry")[0]["count"]


@pytest.mark.parametrize("voice", ["sine", "heart"])
def test_a_document_is_spoken_in_the_new_form_only_and_charged_once(stack, content, voice):
    """Blocks of this document have finished audio of the earlier codec, which is not announced any more."""
    document = next(document for document in content["documents"] if document["title"] == "Waiting")
    earlier = {job["hash"] for job in content["jobs"].values()} | content["audio"].keys()
    before = ledger_size(stack)

    announced = hashes_heard(stack, content, document, voice)

    assert not earlier & set(announced)
    assert ledger_size(stack) == before + len(document["blocks"])
    assert hashes_heard(stack, content, document, voice) == announced
    assert ledger_size(stack) == before + len(document["blocks"])


def test_new_audio_is_trimmed_and_audio_of_earlier_jobs_is_as_their_hash_says(stack, content, ask):
    document = next(document for document in content["documents"] if document["title"] == "Waiting")
    earlier = [
        job["hash"] for job in content["jobs"].values() if job["ends"] == "c" and job["model"] == "hibari"
    ]
    assert earlier
    for variant in earlier:
        assert min(silence_at_ends(heard(ask("anna", f"/v1/audio/{variant}")))) > 100
    for variant in hashes_heard(stack, content, document, "heart"):
        head, tail = silence_at_ends(heard(ask("anna", f"/v1/audio/{variant}")))
        assert head < 20
        assert tail < 65


# --- Money ------------------------------------------------------------------------------------------------


def plain(row):
    """The row with JSON types only."""
    return json.loads(json.dumps(row, default=as_text))


def as_text(value):
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def test_ledger_entries_from_before_are_unchanged(stack, content):
    now = {row["event_id"]: plain(row) for row in stack.ledger}
    for before in content["ledger"]:
        assert {name: now[before["event_id"]][name] for name in before} == before


def test_every_use_is_charged_once(stack, content):
    owed = {use["id"]: (use["user"], use["cost"]) for use in content["uncharged"]}
    for job_id, job in content["jobs"].items():
        if job["is_charged"]:
            owed[job_id] = (int(job["user"]), int(job["cost"]))
    known = {row["event_id"] for row in content["ledger"]}
    new = [row for row in stack.ledger if row["event_id"] not in known and row["kind"] == "usage"]
    assert {row["event_id"]: (row["user_id"], row["cost"]) for row in new} == owed
    times = Counter(row["hash"] for row in stack.ledger if row["kind"] == "usage")
    assert set(times.values()) == {1}


def test_no_other_entry_was_added_to_the_ledger(stack, content):
    """Except rollover of periods that ended since the fixture was made."""
    known = {row["event_id"] for row in content["ledger"]}
    assert {row["kind"] for row in stack.ledger if row["event_id"] not in known} <= {"usage", "rollover"}


def new_entries(stack, content):
    """Ledger entries that the fixture does not have: usage that was charged, and rollover since."""
    known = {row["event_id"] for row in content["ledger"]}
    return [row for row in stack.ledger if row["event_id"] not in known]


def test_balances_are_carried_over_by_value(stack, content):
    """Columns of subscriptions became rows; entries that are new to the ledger are subtracted."""
    plans = {row["id"]: row["ocr_limit"] for row in stack.rows("SELECT id, ocr_limit FROM billing_plan")}
    expected = {}
    for before in content["subscriptions"]:
        for kind in ("standard", "premium"):
            balance = [before[f"{kind}_{name}"] for name in ("limit", "rollover", "purchased")]
            expected[before["user_id"], kind] = balance
        expected[before["user_id"], "ocr"] = [plans[before["plan_id"]], 0, 0]
    assert any(rollover or purchased for _, rollover, purchased in expected.values())
    for entry in new_entries(stack, content):
        balance = expected[entry["user_id"], entry["usage_type"]]
        balance[1] -= entry["from_rollover"] + entry["to_debt"]
        balance[2] -= entry["from_purchased"]
    found = {(row["user_id"], row["usage_type"]): row for row in stack.balances}
    assert {key: [row["limit"], row["rollover"], row["purchased"]] for key, row in found.items()} == expected


def test_periods_are_carried_over_by_value(stack, content):
    found = {row["id"]: plain(row) for row in stack.periods}
    usage = [plain(row) for row in new_entries(stack, content) if row["kind"] == "usage"]
    assert content["periods"]
    for before in content["periods"]:
        after = found[before["id"]]
        new = [
            row
            for row in usage
            if (row["user_id"], row["usage_type"]) == (before["user_id"], before["usage_type"])
            and before["start"] <= row["occurred_at"] < before["end"]
        ]
        assert after.pop("source") == "calendar"
        if before["closed_at"] is None:  # it may have ended since the fixture was made
            for name in ("closed_at", "rollover_before", "carried"):
                after[name] = before[name]
        assert after == before | {
            "used": before["used"] + sum(row["from_subscription"] for row in new),
            "total": before["total"] + sum(row["cost"] for row in new),
        }


def test_check_ledger_finds_nothing(stack):
    done = stack.manage("check_ledger")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings, 0 pending" in done.stdout


def test_block_variants_are_kept_and_extended(stack, content):
    listed = {row["hash"] for row in stack.rows("SELECT hash FROM yapit_blockvariant")}
    assert listed >= {variant["hash"] for variant in content["variants"]}
    assert listed >= {job["hash"] for job in content["jobs"].values() if job["ends"] == "c"}


def test_the_leaderboard_of_the_past_is_kept(stack, content):
    rows = stack.rows("SELECT * FROM yapit_leaderboardrow")
    found = [{name: value for name, value in plain(row).items() if name != "id"} for row in rows]
    for row in content["leaderboard"]:
        assert {name: value for name, value in row.items() if name != "id"} in found


def test_earlier_key_names_are_gone_from_redis(stack):
    with stack.redis() as client:
        assert [key for pattern in EARLIER_NAMES for key in client.scan_iter(pattern)] == []
        for stream in ("results", "billing", "persist", "orders"):
            for _, fields in client.xrange(f"dead:{stream}"):
                assert b"acknowledge_args" in fields
                assert b"let_go" not in fields


# --- After the upgrade ------------------------------------------------------------


def test_dead_letters_are_kept(stack, content):
    with stack.redis() as client:
        for stream in ("jobs", "results", "billing", "persist", "orders"):
            before = content["redis"][f"dead:{stream}"]["value"]["entries"]
            letters = [fields for _, fields in client.xrange(f"dead:{stream}")]
            assert [fields[b"reason"].decode() for fields in letters] == [
                fields["reason"] for _, fields in before
            ]


def test_a_dead_job_is_synthesized_after_a_replay(stack, content, ask):
    [[_, letter]] = content["redis"]["dead:jobs"]["value"]["entries"]
    ask("anna", f"/v1/audio/{letter['hash']}", status=404)
    done = stack.manage("replay_dead", "--stream", "jobs", "--replay", "all")
    assert done.returncode == 0, done.stderr
    with stack.redis() as client:
        wait_until(lambda: not unfinished(client), PROCESS_PATIENCE)
    assert ask("anna", f"/v1/audio/{letter['hash']}").startswith(b"OggS")
    assert not stack.rows("SELECT * FROM billing_ledgerentry WHERE event_id = %s", letter["id"])


def test_a_new_text_is_synthesized_and_charged(stack, content, ask):
    async def synthesize():
        async with Client(stack.url, content["accounts"]["anna"]["key"]) as client:
            return await client.synthesize("Spoken after the upgrade.", voice="sine")

    speech = asyncio.run(synthesize())
    assert speech.audio.startswith(b"OggS")
    with stack.redis() as client:
        wait_until(lambda: not unfinished(client), PROCESS_PATIENCE)
    [row] = stack.rows("SELECT * FROM billing_ledgerentry WHERE hash = %s", speech.hash)
    assert (row["user_id"], row["cost"]) == (content["accounts"]["anna"]["id"], 25)
