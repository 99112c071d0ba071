"""`manage.py seed`: what a new installation starts with. Run at each start."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from yapit.seeding.seed import seed


class Command(BaseCommand):
    help = "Make the models, voices, accounts and the welcome document that are missing. Repeatable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--credentials",
            type=Path,
            metavar="FILE",
            help="the first time, write the admin's password and an API key to this file (0600)",
        )

    def handle(self, *, credentials: Path | None, **options: Any) -> None:
        try:
            made = seed(credentials)
        except OSError as exc:
            raise CommandError(
                f"The credentials cannot be written to {exc.filename}: {exc.strerror}"
            ) from exc
        if made:
            self.stdout.write(f"The admin login and an API key are in {credentials}")
