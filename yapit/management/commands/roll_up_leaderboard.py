"""`manage.py roll_up_leaderboard`: the roll-up that run_scheduler calls each hour."""

from django.core.management.base import BaseCommand

from yapit.usage import leaderboard


class Command(BaseCommand):
    help = (
        "Roll up the leaderboard of past days and print the days written. run_scheduler does this every hour."
        " Repeatable."
    )

    def handle(self, *args: object, **options: object) -> None:
        for day in leaderboard.roll_up():
            self.stdout.write(f"{day}")
