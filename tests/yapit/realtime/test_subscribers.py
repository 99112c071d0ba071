"""The registry of subscribers, and the memory of announced audio."""

import pytest

from yapit.realtime import announced
from yapit.realtime.announced import AnnouncedAudio
from yapit.realtime.subscribers import Subscribers

HASH, OTHER = "a" * 64, "b" * 64


class Recorder:
    def __init__(self):
        self.received = []

    def on_notification(self, *notification):
        self.received.append(notification)


def test_a_notification_reaches_the_subscribers_of_its_hash_only():
    subscribers, one, two, other = Subscribers(), Recorder(), Recorder(), Recorder()
    for variant, subscriber in ((HASH, one), (HASH, two), (OTHER, other)):
        subscribers.add(variant, subscriber)

    subscribers.deliver(HASH, "c", b"header")

    assert one.received == two.received == [(HASH, "c", b"header")]
    assert other.received == []


def test_a_subscriber_may_be_removed_during_delivery_and_twice():
    subscribers = Subscribers()

    class Once(Recorder):
        def on_notification(self, *notification):
            super().on_notification(*notification)
            subscribers.remove(HASH, self)

    one, two = Once(), Once()
    subscribers.add(HASH, one)
    subscribers.add(HASH, two)
    for _ in range(2):
        subscribers.deliver(HASH, "s", b"")
    subscribers.remove(HASH, one)

    assert len(one.received) == len(two.received) == 1


@pytest.mark.parametrize(("seconds", "is_recent"), [(3600, True), (0, False)])
def test_audio_counts_as_announced_to_one_account_for_a_limited_time(monkeypatch, seconds, is_recent):
    monkeypatch.setattr(announced, "ANNOUNCED_SECONDS", seconds)
    audio = AnnouncedAudio()
    audio.add(1, HASH)

    assert audio.was_announced(1, HASH) is is_recent
    assert not audio.was_announced(2, HASH)
    assert not audio.was_announced(1, OTHER)


def test_the_oldest_announcements_are_forgotten_above_the_limit(monkeypatch):
    monkeypatch.setattr(announced, "ANNOUNCED_LIMIT", 2)
    audio = AnnouncedAudio()
    for user_id in (1, 2, 1, 3):
        audio.add(user_id, HASH)

    assert [audio.was_announced(user_id, HASH) for user_id in (1, 2, 3)] == [True, False, True]
