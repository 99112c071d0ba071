from django.core.management.base import BaseCommand

from yapit.usage import leaderboard


class Command(BaseCommand):
    help = "Write down the leaderboard of days that are over. run_scheduler does it each hour. Repeatable."

    def handle(self, *args: object, **options: object) -> None:
        for day in leaderboard.roll_up():
            self.stdout.write(f"{day}")
