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
        "Show what could not be handled, send it in again, or drop it. Without --stream: how much there is of"
        " each. Never shows what was to be spoken."
    )
    requires_system_checks: list[str] = []  # works without a database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--stream", choices=dead_letters.streams())
        parser.add_argument("--count", type=positive, default=50, help="how many to list, newest first")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--show", metavar="ID", help="one of them, with all that may be shown")
        which.add_argument("--replay", nargs="+", metavar="ID", help=f"these again, or `{ALL}`")
        which.add_argument("--drop", nargs="+", metavar="ID", help=f"forget these, or `{ALL}`")

    def handle(self, *args: object, stream: str | None, count: int, **options: Any) -> None:
        show, replay, drop = options["show"], options["replay"], options["drop"]
        if stream is None and (show or replay or drop):
            raise CommandError("Which ones? Give --stream as well.")
        with redis_clients.sync() as redis:
            if stream is None:
                self._overview(redis)
            elif show:
                self._show(redis, stream, show)
            elif replay:
                checks.require("DEAD_LETTERS")
                done = dead_letters.replay(redis, stream, self._chosen(redis, stream, replay))
                self.stdout.write(f"{done} of {stream} sent in again.")
            elif drop:
                done = dead_letters.drop(redis, stream, self._chosen(redis, stream, drop))
                self.stdout.write(f"{done} of {stream} dropped.")
            else:
                self._list(redis, stream, count)

    def _chosen(self, redis: Redis, stream: str, ids: list[str]) -> list[str]:
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
        self.stdout.write(f"buried at   {letter.created_at:%Y-%m-%d %H:%M:%S} UTC")
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
