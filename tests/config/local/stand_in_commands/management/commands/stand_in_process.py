"""A process of the stack that only records its start and end in a file."""

import os
import signal
import time
from pathlib import Path

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("name")
        parser.add_argument("--once", action="store_true")

    def handle(self, *, name, once, **options):
        self.name = name
        signal.signal(signal.SIGTERM, self.end)
        self.note("begins")
        self.stdout.write("hello")
        while not once:
            time.sleep(60)
        self.note("ends")

    def end(self, number, frame):
        self.note("ends")
        raise SystemExit(0)

    def note(self, what):
        with Path(os.environ["STATE_DIR"], "notes").open("a") as notes:
            notes.write(f"{self.name} {what} {os.getpid()}\n")
