"""`manage.py migrate_redis`: update what an earlier version left in Redis."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.redis import clients, layout


class Command(BaseCommand):
    help = (
        "Update key names and stream fields that an earlier version wrote to Redis. Repeatable. Refuses while"
        " other clients use the same database: stop all processes of the earlier version first."
    )
    requires_system_checks: list[str] = []  # needs no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--force",
            action="store_true",
            help="go on although other clients are connected (monitoring, for example)",
        )

    def handle(self, *, force: bool, **options: Any) -> None:
        # One connection: a second one of the same pool would count as another client.
        with clients.named("migrate_redis") as redis:
            try:
                is_migrated = layout.migrate(redis, settings.DEAD_LETTERS, force=force)
            except layout.LayoutError as error:
                raise CommandError(str(error)) from error
        if is_migrated:
            self.stdout.write(f"Redis was updated to layout {layout.VERSION}.\n")
