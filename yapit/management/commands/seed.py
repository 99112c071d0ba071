"""`manage.py seed`: creates the initial rows. Run at each start."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from yapit.seeding.seed import seed


class Command(BaseCommand):
    help = "Create missing models, voices, accounts and the welcome document. Repeatable."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--credentials",
            type=Path,
            metavar="FILE",
            help="at the first run, write the admin's password and an API key to this file (mode 0600)",
        )

    def handle(self, *, credentials: Path | None, **options: Any) -> None:
        try:
            new_credentials = seed(credentials)
        except OSError as exc:
            raise CommandError(
                f"The credentials cannot be written to {exc.filename}: {exc.strerror}"
            ) from exc
        if new_credentials:
            self.stdout.write(f"The admin login and an API key are in {credentials}")
