"""`manage.py warm_audio`: synthesizes audio in advance and pins it."""

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from audiocache import aliases
from audiocache.errors import AudioCacheError
from audiocache.store import Store, store_for
from config.observability.progress import Progress
from config.redis import clients as redis_clients
from yapit.errors import DocumentNotFound, UnknownModel, UnknownVoice
from yapit.synthesis import warming
from yapit.synthesis.warming import Warming, WarmRequest

POLL_SECONDS = 0.2
EX_INTERRUPTED = 130  # 128 + SIGINT


class Command(BaseCommand):
    help = (
        "Synthesize audio in advance, at lower priority than every listener, and pin it so that it is never"
        " evicted. Without arguments, the preview of each voice. No account is billed. Can be interrupted and"
        " repeated: audio that is already pinned is skipped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--previews", action="store_true", help="the preview of each voice")
        parser.add_argument(
            "--document",
            type=UUID,
            action="append",
            default=[],
            metavar="ID",
            help="a whole document; repeatable",
        )
        parser.add_argument(
            "--voice",
            action="append",
            default=[],
            metavar="SLUG",
            help="a voice for the documents; repeatable; default: the default voice",
        )
        parser.add_argument(
            "--lost",
            action="store_true",
            help="audio that was pinned in corrupt files, if its text still exists",
        )
        parser.add_argument(
            "--wait",
            type=float,
            default=120.0,
            metavar="SECONDS",
            help="give up after this time without progress (default: 120)",
        )

    def handle(self, *args: object, **options: Any) -> None:
        store = store_for(aliases.AUDIO)
        try:
            with redis_clients.sync() as redis:
                self._warm(Warming(redis, store, self._requests(store, **options)), options["wait"])
        except (DocumentNotFound, UnknownModel, UnknownVoice) as exc:
            raise CommandError(str(exc)) from exc
        except (AudioCacheError, RedisError) as exc:
            raise CommandError(f"{exc} Repeat it to go on.") from exc

    def _requests(
        self, store: Store, previews: bool, document: list[UUID], lost: bool, **options: Any
    ) -> Iterator[WarmRequest]:
        pairs = [(each, voice) for each in document for voice in options["voice"] or [None]]
        parts: list[Iterable[WarmRequest]] = [warming.of_document(*pair) for pair in pairs]
        if previews or not (document or lost):
            parts.append(warming.of_voices())
        if lost:
            parts.append(self._lost(store))
        return chain.from_iterable(parts)

    def _lost(self, store: Store) -> list[WarmRequest]:
        listed = store.lost_pins()
        requests = list(warming.of_hashes(listed))
        self.stdout.write(
            f"{len(listed)} were pinned in files that are set aside; of {len(requests)} the text is here."
        )
        return requests

    def _warm(self, work: Warming, patience: float) -> None:
        progress = Progress(sys.stderr, work.total, "warm")
        progressed_at = time.monotonic()
        try:
            while work.left:
                progress.show(work.total - len(work.left))
                if work.step():
                    progressed_at = time.monotonic()
                elif time.monotonic() - progressed_at > patience:
                    raise CommandError(
                        f"Nothing got done for {patience:g} s; {len(work.left)} are left. Do run_worker,"
                        " run_results and run_persister run? Repeat it to go on."
                    )
                else:
                    time.sleep(POLL_SECONDS)
            progress.show(work.total)
        except KeyboardInterrupt:
            raise CommandError(
                f"Interrupted; {len(work.left)} are left. Repeat it to go on.", returncode=EX_INTERRUPTED
            ) from None
        finally:
            progress.end()
            self.stdout.write(_summary(work))


def _summary(work: Warming) -> str:
    parts = [f"{number} {outcome}" for outcome, number in sorted(work.outcomes.items())]
    return f"{', '.join(parts) or 'nothing done'}; {work.total} in all"
