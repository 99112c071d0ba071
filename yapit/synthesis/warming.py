"""Audio made before anybody asks for it: the normal pipeline, behind every listener, pinned once stored.

Nobody is billed. Nothing is remembered between two steps but what is left to do, so all of it can be stopped
at any moment and begun again.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import User
from redis import Redis
from redis.exceptions import OutOfMemoryError

from audiocache import orders
from audiocache.store import AudioStore
from config.redis import scripts
from yapit import jobs
from yapit.catalog import previews, resolution, voices
from yapit.catalog.resolution import SpokenAs
from yapit.errors import DocumentNotFound, UnknownModel, UnknownVoice
from yapit.jobs import BlockState, Enqueued, EnqueueRequest, JobSpec, Priority, State
from yapit.models import Block, BlockVariant, Document
from yapit.synthesis import block_cache

ALIAS = "audio"
AT_ONCE = 200  # looked at in one step: fewer than may wait in a queue
PIN_SECONDS = 30.0  # for run_persister to carry out an order


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """`user_id` stands behind the job and pays nothing."""

    work: JobSpec
    user_id: int
    document: str = ""


# --- What to warm -----------------------------------------------------------------------------------------


def of_voices() -> Iterator[WarmRequest]:
    """What each of everyone's voices says to introduce itself."""
    operator = User.objects.order_by("-is_superuser", "id").values_list("id", flat=True).first()
    if operator is None:
        return  # nobody could listen
    for offer in voices.read_public_voices():
        spoken = resolution.resolve(None, offer.slug, operator)
        yield WarmRequest(block_cache.work_of(previews.sentence(offer.language), spoken), operator)


def of_document(document_id: UUID, voice: str | None) -> Iterator[WarmRequest]:
    """All its blocks, in one of its owner's voices; None: the default one.

    Raises DocumentNotFound, UnknownModel or UnknownVoice before the first.
    """
    owner_id = Document.objects.filter(pk=document_id).values_list("owner_id", flat=True).first()
    if owner_id is None:
        raise DocumentNotFound(f"There is no document {document_id}.")
    spoken = resolution.resolve(None, voice, owner_id)
    texts = Block.objects.filter(document=document_id).order_by("index").values_list("text", flat=True)
    return (WarmRequest(block_cache.work_of(text, spoken), owner_id, str(document_id)) for text in texts)


def of_hashes(lost: Collection[str]) -> Iterator[WarmRequest]:
    """As many of these as can be found again: a hash tells neither text nor voice.

    Introductions are all tried; of the rest, PostgreSQL knows voice and length.
    """
    left = set(lost)
    for wanted in of_voices():
        if wanted.work.hash in left:
            left.discard(wanted.work.hash)
            yield wanted
    known = BlockVariant.objects.filter(pk__in=left).values_list("voice", "characters")
    lengths: dict[str, set[int]] = {}
    for voice, characters in known:
        lengths.setdefault(voice, set()).add(characters)
    for voice, characters_of in lengths.items():
        for wanted in _blocks_spoken(voice, characters_of):
            if wanted.work.hash in left:
                left.discard(wanted.work.hash)
                yield wanted


def _blocks_spoken(voice: str, lengths: Collection[int]) -> Iterator[WarmRequest]:
    blocks = Block.objects.filter(characters__in=lengths).order_by()
    spoken_by: dict[int, SpokenAs | None] = {}
    for document_id, owner_id, text in blocks.values_list(
        "document_id", "document__owner_id", "text"
    ).iterator():
        if owner_id not in spoken_by:
            spoken_by[owner_id] = _spoken_or_none(voice, owner_id)
        if spoken := spoken_by[owner_id]:
            yield WarmRequest(block_cache.work_of(text, spoken), owner_id, str(document_id))


def _spoken_or_none(voice: str, user_id: int) -> SpokenAs | None:
    try:
        return resolution.resolve(None, voice, user_id)
    except (UnknownModel, UnknownVoice):
        return None


# --- Warming ----------------------------------------------------------------------------------------------


class Warming:
    """`outcomes` counts what became of what is no longer `left`."""

    def __init__(self, redis: Redis, store: AudioStore, wanted: Iterable[WarmRequest]) -> None:
        self._redis = redis
        self._store = store
        self.left = {one.work.hash: one for one in wanted}
        self.total = len(self.left)
        self.outcomes: Counter[str] = Counter()

    def step(self) -> bool:
        """Look at the first that are left and do what comes next. Whether anything came to its end."""
        before = len(self.left)
        some = list(self.left)[:AT_ONCE]
        pins = self._store.pins(some)
        self._end((variant for variant, is_pinned in pins.items() if is_pinned), "pinned")
        self._pin([variant for variant, is_pinned in pins.items() if not is_pinned])
        self._make([variant for variant in some if variant not in pins])
        return len(self.left) < before

    def _pin(self, variants: Sequence[str]) -> None:
        """What is not pinned although the order was carried out has no room among the pins."""
        if not variants:
            return
        order = orders.pin(self._redis, ALIAS, variants)
        if not orders.wait_for(self._redis, order, PIN_SECONDS):
            return
        for variant, is_pinned in self._store.pins(variants).items():
            self._end([variant], "pinned" if is_pinned else "no room to pin")

    def _make(self, variants: Sequence[str]) -> None:
        """What is in Redis waits for run_persister, and what is queued for a worker."""
        if not variants:
            return
        _, *raw = scripts.run(self._redis, jobs.look_call(variants))
        absent = []
        for variant, answer in zip(variants, map(BlockState.read, raw), strict=True):
            match answer.state:
                case State.NONE:
                    absent.append(self.left[variant])
                case State.SKIPPED:
                    self._end([variant], "nothing to say")
                case State.ERROR:
                    self._end([variant], f"failed ({answer.detail.decode()})")
        self._ask(absent)

    def _ask(self, wanted: Sequence[WarmRequest]) -> None:
        """Refused as `busy` while much waits to be stored: the next step asks again."""
        calls = [
            jobs.enqueue_call(
                one.user_id,
                [EnqueueRequest(one.work, document=one.document, priority=Priority.WARM, billable=False)],
                {},
            )
            for one in wanted
        ]
        for answer in scripts.run_all(self._redis, calls):
            if isinstance(answer, OutOfMemoryError):
                return
            if isinstance(answer, Exception):
                raise answer
            Enqueued.read(answer)

    def _end(self, variants: Iterable[str], outcome: str) -> None:
        for variant in variants:
            if self.left.pop(variant, None):
                self.outcomes[outcome] += 1
