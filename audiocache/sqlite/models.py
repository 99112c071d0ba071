"""Models of the audio files, for migrations and the admin. Every query names its alias.

Reads and writes of the service use the same tables through `SqliteStore`, without the ORM.
"""

from django.db import models
from django.db.models import Q


class Entry(models.Model):
    """The metadata of one stored audio. A row is small, since every access changes it."""

    # Not BigAutoField: only a column of type INTEGER is SQLite's row id.
    id = models.IntegerField(primary_key=True)
    key = models.BinaryField("hash", max_length=32, unique=True)
    size = models.PositiveIntegerField(help_text="bytes of audio")
    sha256 = models.BinaryField("checksum of the audio", max_length=32)
    meta = models.BinaryField("header")
    created_at = models.PositiveBigIntegerField(help_text="milliseconds since 1970")
    last_access = models.PositiveBigIntegerField(help_text="milliseconds since 1970")
    # Not a boolean: its condition becomes `NOT pinned`, for which SQLite would read the rows.
    pinned = models.PositiveSmallIntegerField(default=0, help_text="1: never evicted")

    class Meta:
        db_table = "entry"
        verbose_name_plural = "entries"
        indexes = [
            # Covers the queries of eviction, so that they read no rows.
            models.Index(fields=["last_access", "id", "size"], name="entry_by_age", condition=Q(pinned=0)),
        ]

    def __str__(self) -> str:
        return bytes(self.key).hex()


class Payload(models.Model):
    """The audio of the entry with the same id, apart from the columns that change."""

    id = models.IntegerField(primary_key=True)
    data = models.BinaryField()

    class Meta:
        db_table = "payload"

    def __str__(self) -> str:
        return str(self.id)


class Stat(models.Model):
    """Running totals in one row: a sum over the entries would read them all."""

    id = models.IntegerField(primary_key=True)
    bytes = models.PositiveBigIntegerField(default=0)
    n = models.PositiveBigIntegerField("entries", default=0)
    pinned_bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "stat"
        constraints = [models.CheckConstraint(name="stat_is_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"{self.n} entries, {self.bytes} bytes"
