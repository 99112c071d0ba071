"""Connections of the notification hub: their protocols, and the memory that they need."""

import pytest

from yapit.realtime import changes, connections
from yapit.realtime.answers import BlockAnswers
from yapit.realtime.requests import BlockRequests
from yapit.realtime.session import SynthesisSession
from yapit.sockets.events_socket import EventsSocket
from yapit.sockets.outbox import Outbox
from yapit.sockets.synthesis_socket import SynthesisSocket


def members(protocol):
    return {name for kind in protocol.__mro__ for name in vars(kind) if not name.startswith("_")}


def test_a_socket_is_a_connection_and_billed():
    for protocol in (connections.ClientConnection, connections.Billed):
        assert members(protocol) - {"identity"} <= set(dir(SynthesisSocket))


def test_an_events_socket_is_a_connection_and_a_follower():
    for protocol in (connections.ClientConnection, changes.Follower):
        assert members(protocol) - {"identity"} <= set(dir(EventsSocket))


def test_each_protocol_has_at_most_two_members():
    for name in ("Resyncable", "Authenticated", "Reconnectable", "SlotHolder", "Billed"):
        assert 1 <= len(members(getattr(connections, name))) <= 2


@pytest.mark.parametrize("kind", [BlockAnswers, BlockRequests, SynthesisSession, Outbox])
def test_objects_of_each_socket_have_slots(kind):
    assert "__dict__" not in dir(kind.__new__(kind))
