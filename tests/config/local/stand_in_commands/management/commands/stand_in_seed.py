"""Writes credentials at the first start, and counts starts in both databases."""

import os
from pathlib import Path

import psycopg
import redis
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def add_arguments(self, parser):
        parser.add_argument("--credentials", type=Path)

    def handle(self, *, credentials, **options):
        if not credentials.exists():
            credentials.write_text("password: first-secret\n")
        with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS starts (at timestamptz DEFAULT now())")
            connection.execute("INSERT INTO starts DEFAULT VALUES")
            rows = connection.execute("SELECT count(*) FROM starts").fetchone()[0]
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            self.stdout.write(f"start {rows} for PostgreSQL, {client.incr('starts')} for Valkey")
