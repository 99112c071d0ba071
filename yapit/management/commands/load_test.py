"""`manage.py load_test`: simulates many listeners and reports latencies. Not for a server in production."""

import asyncio
import json
import os
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from yapit.client import Client, ClientError
from yapit.load import (
    Listener,
    Measurements,
    SimulatedPlayback,
    figures_of,
    run_closed_loop,
    run_playback,
    table_of,
)

SENTENCE = "Passage {} of {}, which has not been heard before, and which is as long as a sentence is."


class Command(BaseCommand):
    help = (
        "Simulate many listeners of a running Yapit. They share one account and its limits: raise "
        "CONNECTIONS_PER_USER, MESSAGES_PER_SECOND and BLOCKS_PER_MINUTE for more than a few."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default="http://127.0.0.1:8000")
        parser.add_argument("--key", default=os.environ.get("YAPIT_KEY", ""), help="default: YAPIT_KEY")
        parser.add_argument("--listeners", type=int, default=10)
        parser.add_argument("--blocks", type=int, default=40, help="number of blocks for each listener")
        parser.add_argument("--document", help="id of one for all; default: a new one for each")
        parser.add_argument("--model")
        parser.add_argument("--voice")
        parser.add_argument("--speed", type=float, default=1.0, help="0: without pauses, 8 blocks at a time")
        parser.add_argument("--seeks", type=float, default=0.0, help="probability of seeking after a block")
        parser.add_argument("--fetch", action="store_true", help="fetch the audio too")
        parser.add_argument("--batched", action="store_true", help="request statuses in batches")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["listeners"] < 1 or options["blocks"] < 1:
            raise CommandError("--listeners and --blocks must be at least 1.")
        try:
            measurements = asyncio.run(_measure(options))
        except (ClientError, OSError, RuntimeError) as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
        figures = figures_of(measurements)
        self.stdout.write(json.dumps(figures) if options["json"] else table_of(figures))


async def _measure(options: dict[str, Any]) -> Measurements:
    listeners = await _listeners(options)
    url, is_batched = options["url"], options["batched"]
    if not options["speed"]:
        return await run_closed_loop(url, listeners, is_batched=is_batched, timeout=3600)
    playback = SimulatedPlayback(speed=options["speed"], seeks=options["seeks"], fetch=options["fetch"])
    return await run_playback(url, listeners, playback, is_batched=is_batched)


async def _listeners(options: dict[str, Any]) -> list[Listener]:
    more = {"model": options["model"], "voice": options["voice"]}
    async with Client(options["url"], options["key"]) as client:
        if options["document"]:
            document = await client.document(options["document"])
            blocks = min(options["blocks"], document.block_count)
            one = Listener(options["key"], str(document.id), blocks, **more)
            return [one] * options["listeners"]
        documents = [
            await client.create_document(_text(options["blocks"]), title="Load test", markdown=False)
            for _ in range(options["listeners"])
        ]
    return [
        Listener(options["key"], str(document.id), document.block_count, **more) for document in documents
    ]


def _text(blocks: int) -> str:
    name = secrets.token_hex(8)
    return "\n\n".join(SENTENCE.format(number, name) for number in range(blocks))
