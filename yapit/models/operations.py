"""Models without tables, which give pages of the admin their place and permissions."""

from django.db import models


class DeadLetter(models.Model):
    """Dead letters of streams. The change permission allows replaying, the delete permission dropping."""

    id = models.CharField(primary_key=True, max_length=64)

    class Meta:
        managed = False
        default_permissions = ("view", "change", "delete")

    def __str__(self) -> str:
        return self.id


class Cache(models.Model):
    """Caches of all processes. The change permission allows clearing them."""

    name = models.CharField(primary_key=True, max_length=64)

    class Meta:
        managed = False
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return self.name
