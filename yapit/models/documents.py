"""Document models: documents, their blocks and sections, and playback positions."""

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from yapit.text import pauses

MAX_TITLE = 500


class Document(models.Model):
    """A text of an account. Its blocks and sections are created with it and never change."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="documents", db_index=False
    )
    title = models.CharField(max_length=MAX_TITLE)
    source = models.TextField()
    markdown = models.BooleanField(default=True)
    is_public = models.BooleanField(default=False, help_text="Anyone who has the address may listen.")
    block_count = models.PositiveIntegerField()
    characters = models.PositiveIntegerField(help_text="Spoken characters: the sum over the blocks.")
    est_duration_ms = models.PositiveIntegerField(help_text="Estimated from the text.")
    created = models.DateTimeField(auto_now_add=True)
    updated = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created", "-id"]
        indexes = [
            models.Index(name="document_of_owner", fields=["owner", "-created", "-id"]),
            models.Index(name="document_created", fields=["-created", "-id"]),  # the admin's list
        ]
        constraints = [
            models.CheckConstraint(name="document_has_blocks", condition=Q(block_count__gt=0)),
        ]

    def __str__(self) -> str:
        return self.title


class Block(models.Model):
    """A passage that is synthesized as one audio file."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="blocks", db_index=False)
    index = models.PositiveIntegerField()
    text = models.TextField()
    characters = models.PositiveIntegerField(help_text="Code points of the text in NFC.")
    pause_ms = models.PositiveSmallIntegerField(
        default=pauses.SENTENCE,
        help_text="Silence after the block, in milliseconds.",
    )

    class Meta:
        ordering = ["document_id", "index"]
        constraints = [
            models.UniqueConstraint(name="block_index_once", fields=["document", "index"]),
            models.CheckConstraint(name="block_says_something", condition=Q(characters__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} {self.index}"


class Section(models.Model):
    """A part of the displayed document: sanitized HTML and the blocks that speak it."""

    document = models.ForeignKey(Document, models.CASCADE, related_name="sections", db_index=False)
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=32)
    html = models.TextField()
    first_block = models.PositiveIntegerField()
    block_count = models.PositiveIntegerField(help_text="0: displayed and not spoken.")

    class Meta:
        ordering = ["document_id", "position"]
        constraints = [
            models.UniqueConstraint(name="section_position_once", fields=["document", "position"]),
        ]

    def __str__(self) -> str:
        return f"{self.document_id} {self.position}"


class Playback(models.Model):
    """An account's position in a document."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", db_index=False)
    document = models.ForeignKey(Document, models.CASCADE, related_name="playbacks")
    block_idx = models.PositiveIntegerField()
    played_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="playback_once", fields=["user", "document"]),
        ]
        indexes = [models.Index(name="playback_by_time", fields=["played_at"])]  # the leaderboard of a day

    def __str__(self) -> str:
        return f"{self.user_id} at {self.block_idx} of {self.document_id}"
