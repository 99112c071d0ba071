"""What operators see that is in no table."""

from django.db import models


class DeadLetter(models.Model):
    """Has no table, and is never made: gives dead letters their place and their permissions in the admin.

    Who may change them may send them in again, who may delete them may drop them.
    """

    id = models.CharField(primary_key=True, max_length=64)

    class Meta:
        managed = False
        default_permissions = ("view", "change", "delete")

    def __str__(self) -> str:
        return self.id


class Cache(models.Model):
    """Has no table, and is never made: as above, for caches. Who may change them may clear them."""

    name = models.CharField(primary_key=True, max_length=64)

    class Meta:
        managed = False
        default_permissions = ("view", "change")

    def __str__(self) -> str:
        return self.name
