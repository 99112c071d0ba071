"""Groups of the channel layer that events wake: processes whose connections follow an account or a document.

The bus tells every process; a group reaches only those that joined it. Messages are published in the format
of the layer, by the script that raises the epoch: sending through the layer would need an event loop and a
round trip of its own.
"""

from collections.abc import Iterable
from typing import Any

from channels.layers import get_channel_layer
from django.conf import settings

MESSAGE_TYPE = "changed"


def group_of(event: str) -> str | None:
    """The group of an event by EVENT_GROUPS: `account.42` of `credit:42`. None: nothing is woken."""
    kind, _, subject = event.partition(":")
    group = settings.EVENT_GROUPS.get(kind)
    return f"{group}.{subject}" if group else None


def wakes(events: Iterable[str]) -> list[str | bytes]:
    """A Redis channel and its payload for each event that has a group, one after the other."""
    layer = get_channel_layer()
    options: Any = settings.CHANNEL_LAYERS["default"]["CONFIG"]
    arguments: list[str | bytes] = []
    for event in events:
        group = group_of(event)
        if group is not None:
            payload = layer.serialize({"type": MESSAGE_TYPE, "subject": event})
            arguments += (f"{options['prefix']}__group__{group}", payload)
    return arguments
