"""`manage.py replay_dead`: lists, shows, replays and drops dead letters."""

from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis import Redis

from config import checks
from config.redis import clients as redis_clients
from config.streams import dead_letters

ALL = "all"
BRIEF = ("id", "user", "hash", "attempts")


class Command(BaseCommand):
    help = (
        "List, show, replay or drop dead letters: stream entries that could not be handled. Without --stream,"
        " shows how many each stream has. Never shows the text of a job."
    )
    requires_system_checks: list[str] = []  # works without a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--stream", choices=dead_letters.streams())
        parser.add_argument("--count", type=positive, default=50, help="maximum number to list, newest first")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--show", metavar="ID", help="show one in full, without its text")
        which.add_argument("--replay", nargs="+", metavar="ID", help=f"replay these, or `{ALL}`")
        which.add_argument("--drop", nargs="+", metavar="ID", help=f"drop these, or `{ALL}`")

    def handle(self, *args: object, stream: str | None, count: int, **options: Any) -> None:
        show, replay, drop = options["show"], options["replay"], options["drop"]
        if stream is None and (show or replay or drop):
            raise CommandError("--show, --replay and --drop need --stream.")
        with redis_clients.sync() as redis:
            if stream is None:
                self._overview(redis)
            elif show:
                self._show(redis, stream, show)
            elif replay:
                checks.require("DEAD_LETTERS")
                done = dead_letters.replay(redis, stream, self._ids(redis, stream, replay))
                self.stdout.write(f"{done} of {stream} sent in again.")
            elif drop:
                done = dead_letters.drop(redis, stream, self._ids(redis, stream, drop))
                self.stdout.write(f"{done} of {stream} dropped.")
            else:
                self._list(redis, stream, count)

    def _ids(self, redis: Redis, stream: str, ids: list[str]) -> list[str]:
        if ids == [ALL]:
            return dead_letters.all_ids(redis, stream)
        return [checked(each) for each in ids]

    def _overview(self, redis: Redis) -> None:
        for stream, number in dead_letters.waiting(redis).items():
            self.stdout.write(f"{stream:10}{number:8}")

    def _list(self, redis: Redis, stream: str, count: int) -> None:
        for letter in dead_letters.letters(redis, stream, count=count):
            self.stdout.write(
                f"{letter.id}  {letter.created_at:%Y-%m-%d %H:%M:%S}  {letter.reason}  "
                + " ".join(f"{name}={value}" for name, value in letter.shown.items() if name in BRIEF)
            )

    def _show(self, redis: Redis, stream: str, letter_id: str) -> None:
        letter = dead_letters.letter(redis, stream, checked(letter_id))
        if letter is None:
            raise CommandError(f"There is no {letter_id} among the dead letters of {stream}.")
        self.stdout.write(f"created at  {letter.created_at:%Y-%m-%d %H:%M:%S} UTC")
        self.stdout.write(f"reason      {letter.reason}")
        for name, value in letter.shown.items():
            self.stdout.write(f"{name:12}{value}")
        self.stdout.write(f"not shown   {letter.hidden} fields")


def checked(letter_id: str) -> str:
    if not dead_letters.is_id(letter_id):
        raise CommandError(f"{letter_id!r} is not an id: they look like 1700000000000-0.")
    return letter_id


def positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10_000:
        raise ArgumentTypeError("a number from 1 to 10000")
    return int(text)
