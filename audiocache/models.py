"""Finished audio by hash, as the migrations and the admin see it; reads and writes on the way to a listener
use the same tables through `store`. Every query names its alias.
"""

from django.db import models
from django.db.models import Q


class Entry(models.Model):
    """What is known about one piece of audio. Small, since it changes with every access."""

    # Not BigAutoField: only a column of type INTEGER is SQLite's own row number.
    id = models.IntegerField(primary_key=True)
    key = models.BinaryField("hash", max_length=32, unique=True)
    size = models.PositiveIntegerField(help_text="bytes of audio")
    sha256 = models.BinaryField("checksum of the audio", max_length=32)
    meta = models.BinaryField("header")
    created_at = models.PositiveBigIntegerField(help_text="milliseconds since 1970")
    last_access = models.PositiveBigIntegerField(help_text="milliseconds since 1970")
    # A number: `NOT pinned`, which a boolean's condition becomes, would make SQLite read the rows after all.
    pinned = models.PositiveSmallIntegerField(default=0, help_text="1: never evicted")

    class Meta:
        db_table = "entry"
        verbose_name_plural = "entries"
        indexes = [
            # Covers what eviction asks for, so that it never reads a row.
            models.Index(fields=["last_access", "id", "size"], name="entry_by_age", condition=Q(pinned=0)),
        ]

    def __str__(self) -> str:
        return bytes(self.key).hex()


class Payload(models.Model):
    """The audio itself, apart from what changes. Its id is the entry's."""

    id = models.IntegerField(primary_key=True)
    data = models.BinaryField()

    class Meta:
        db_table = "payload"

    def __str__(self) -> str:
        return str(self.id)


class Stat(models.Model):
    """Running totals, in one row: summing up the entries would read them all."""

    id = models.IntegerField(primary_key=True)
    bytes = models.PositiveBigIntegerField(default=0)
    n = models.PositiveBigIntegerField("entries", default=0)
    pinned_bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "stat"
        constraints = [models.CheckConstraint(name="stat_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"{self.n} entries, {self.bytes} bytes"
