"""Factories of accounts, texts and documents. Needs Django set up: import it inside a benchmark."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.auth import get_user_model

from yapit import documents
from yapit.accounts.keys import create_key
from yapit.models import Block, TTSModel


@dataclass(frozen=True, slots=True)
class BenchmarkAccount:
    user_id: int
    token: str


def make_accounts(count: int) -> list[BenchmarkAccount]:
    accounts = []
    for number in range(count):
        user = get_user_model().objects.create(username=f"listener-{secrets.token_hex(4)}-{number}")
        accounts.append(BenchmarkAccount(user.pk, create_key(user, "benchmark").token))
    return accounts


def switch_on(model: str) -> None:
    """Activate a model, such as the test model `tone`."""
    TTSModel.objects.filter(slug=model).update(is_active=True)


def make_document(account: BenchmarkAccount, paragraphs: Sequence[str]) -> str:
    """The id of a new document whose blocks are exactly these paragraphs."""
    created = documents.create_text(account.user_id, "\n\n".join(paragraphs), markdown=False)
    blocks = list(
        Block.objects.filter(document=created.document).order_by("index").values_list("text", flat=True)
    )
    if blocks != list(paragraphs):
        raise RuntimeError(f"{len(paragraphs)} paragraphs became {len(blocks)} different blocks")
    return str(created.document.pk)
