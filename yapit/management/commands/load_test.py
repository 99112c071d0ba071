"""`manage.py load_test`: simulates many listeners and reports latencies. Not for a server in production."""

import asyncio
import json
import os
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from yapit.client import Client, ClientError
from yapit.load.listeners import (
    Listener,
    Manner,
    Played,
    hurry,
    percentile,
    play,
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
            played = asyncio.run(_played(options))
        except (ClientError, OSError, RuntimeError) as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
        figures = figures_of(played)
        self.stdout.write(json.dumps(figures) if options["json"] else _table(figures))


async def _played(options: dict[str, Any]) -> Played:
    listeners = await _listeners(options)
    url, is_batched = options["url"], options["batched"]
    if not options["speed"]:
        return await hurry(url, listeners, is_batched=is_batched, within=3600)
    manner = Manner(speed=options["speed"], seeks=options["seeks"], fetch=options["fetch"])
    return await play(url, listeners, manner, is_batched=is_batched)


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


def figures_of(played: Played) -> dict[str, float | int | dict[str, int]]:
    """Latencies in milliseconds, counts and rates."""
    return {
        "blocks": len(played.cached),
        "seconds": round(played.seconds, 3),
        "blocks_per_second": round(played.rate, 1),
        **_percentiles("cached_ms", played.cached),
        **_percentiles("first_byte_ms", played.heard),
        **_percentiles("silence_ms", played.first),
        "underruns": played.underruns,
        "seeks": played.seeks,
        "told_to_come_back": played.refused,
        "errors": dict(played.errors),
        "generator_cpu_ms_per_block": round(played.cpu_ms, 4),
    }


def _percentiles(name: str, values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    return {f"{name}_p{p}": round(1000 * percentile(values, p), 1) for p in (50, 95, 99)}


def _table(figures: dict[str, Any]) -> str:
    width = max(map(len, figures))
    return "\n".join(f"{name.replace('_', ' '):{width}}  {value}" for name, value in figures.items())
