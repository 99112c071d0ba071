"""Warming: audio made in advance through the normal pipeline, after all listeners, and pinned once stored.

No account is charged. The only state between two steps is the list of what is left, so warming can be stopped
at any moment and started again.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from redis import Redis
from redis.exceptions import OutOfMemoryError

from audiocache import aliases, orders
from audiocache.store import Store
from config.redis import scripts
from yapit import jobs
from yapit.catalog import previews, resolution, voices
from yapit.catalog.resolution import SpokenAs
from yapit.errors import DocumentNotFound, UnknownModel, UnknownVoice
from yapit.jobs import BlockState, Enqueued, EnqueueRequest, Priority, State
from yapit.models import Block, BlockVariant, Document
from yapit.synthesis import block_cache
from yapit.synthesis.speech_job import SpeechSpec

BATCH = 200  # of one step: less than the limit of waiting jobs
PIN_SECONDS = 30.0  # for run_persister to apply an order


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """`user_id` is the user of the job and is not charged."""

    spec: SpeechSpec
    user_id: int
    document: str = ""


# --- Requests --------------------------------------------------------------------------------------------


def of_voices() -> Iterator[WarmRequest]:
    """Previews of the voices that all accounts may use."""
    operator = User.objects.order_by("-is_superuser", "id").values_list("id", flat=True).first()
    if operator is None:
        return  # there are no accounts
    for offer in voices.read_public_voices():
        spoken = resolution.resolve(None, offer.slug, operator)
        yield WarmRequest(block_cache.job_spec(previews.sentence(offer.language), spoken), operator)


def of_document(document_id: UUID, voice: str | None) -> Iterator[WarmRequest]:
    """All blocks of a document, in a voice of its owner; None: the default voice.

    Raises DocumentNotFound, UnknownModel or UnknownVoice before the first request.
    """
    owner_id = Document.objects.filter(pk=document_id).values_list("owner_id", flat=True).first()
    if owner_id is None:
        raise DocumentNotFound(f"There is no document {document_id}.")
    spoken = resolution.resolve(None, voice, owner_id)
    texts = Block.objects.filter(document=document_id).order_by("index").values_list("text", flat=True)
    return (WarmRequest(block_cache.job_spec(text, spoken), owner_id, str(document_id)) for text in texts)


def of_hashes(lost: Collection[str]) -> Iterator[WarmRequest]:
    """Requests for those hashes that can be traced to a text: a hash contains neither text nor voice.

    All previews are tried, then blocks with the voice and length that PostgreSQL has recorded for a hash.
    """
    left = set(lost)
    for request in of_voices():
        if request.spec.hash in left:
            left.discard(request.spec.hash)
            yield request
    known = BlockVariant.objects.filter(pk__in=left).values_list("voice", "characters")
    lengths: dict[str, set[int]] = {}
    for voice, characters in known:
        lengths.setdefault(voice, set()).add(characters)
    for voice, characters_of in lengths.items():
        for request in _blocks_spoken(voice, characters_of):
            if request.spec.hash in left:
                left.discard(request.spec.hash)
                yield request


def _blocks_spoken(voice: str, lengths: Collection[int]) -> Iterator[WarmRequest]:
    blocks = Block.objects.filter(characters__in=lengths).order_by()
    spoken_by: dict[int, SpokenAs | None] = {}
    for document_id, owner_id, text in blocks.values_list(
        "document_id", "document__owner_id", "text"
    ).iterator():
        if owner_id not in spoken_by:
            spoken_by[owner_id] = _spoken_or_none(voice, owner_id)
        if spoken := spoken_by[owner_id]:
            yield WarmRequest(block_cache.job_spec(text, spoken), owner_id, str(document_id))


def _spoken_or_none(voice: str, user_id: int) -> SpokenAs | None:
    try:
        return resolution.resolve(None, voice, user_id)
    except (UnknownModel, UnknownVoice):
        return None


# --- Warming ---------------------------------------------------------------------------------------------


class Warming:
    """Requests to warm. `outcomes` counts those that have ended, `left` has the others by hash."""

    def __init__(self, redis: Redis, store: Store, requests: Iterable[WarmRequest]) -> None:
        self._redis = redis
        self._store = store
        self.left = {request.spec.hash: request for request in requests}
        self.total = len(self.left)
        self.outcomes: Counter[str] = Counter()

    def step(self) -> bool:
        """Advance the first batch of those left. Returns whether any request has ended."""
        before = len(self.left)
        batch = list(self.left)[:BATCH]
        pins = self._store.pins(batch)
        self._end((variant for variant, is_pinned in pins.items() if is_pinned), "pinned")
        self._pin([variant for variant, is_pinned in pins.items() if not is_pinned])
        self._make([variant for variant in batch if variant not in pins])
        return len(self.left) < before

    def _pin(self, variants: Sequence[str]) -> None:
        """Entries that are still unpinned after the order was applied exceed the limit of pinned bytes."""
        if not variants:
            return
        order = orders.pin(self._redis, aliases.AUDIO, variants)
        if not orders.wait_for(self._redis, order, PIN_SECONDS):
            return
        for variant, is_pinned in self._store.pins(variants).items():
            self._end([variant], "pinned" if is_pinned else "no room to pin")

    def _make(self, variants: Sequence[str]) -> None:
        """Enqueue what is neither in Redis, waiting for run_persister, nor queued for a worker."""
        if not variants:
            return
        _, *replies = scripts.run(self._redis, jobs.look_call(variants))
        missing = []
        for variant, state in zip(variants, map(BlockState.read, replies), strict=True):
            match state.state:
                case State.NONE:
                    missing.append(self.left[variant])
                case State.SKIPPED:
                    self._end([variant], "nothing to say")
                case State.ERROR:
                    self._end([variant], f"failed ({state.detail.decode()})")
        self._enqueue(missing)

    def _enqueue(self, requests: Sequence[WarmRequest]) -> None:
        """Refused as `busy` while much audio waits to be stored: the next step tries again."""
        calls = [jobs.enqueue_call(request.user_id, [_unbilled(request)], {}) for request in requests]
        for reply in scripts.run_all(self._redis, calls):
            if isinstance(reply, OutOfMemoryError):
                return
            if isinstance(reply, Exception):
                raise reply
            Enqueued.read(reply)

    def _end(self, variants: Iterable[str], outcome: str) -> None:
        for variant in variants:
            if self.left.pop(variant, None):
                self.outcomes[outcome] += 1


def _unbilled(request: WarmRequest) -> EnqueueRequest:
    return EnqueueRequest(request.spec.job, document=request.document, priority=Priority.WARM, billable=False)
