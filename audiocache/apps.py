from django.apps import AppConfig


class AudiocacheConfig(AppConfig):
    name = "audiocache"
    label = "audio_stores"  # `audiocache` is the label of audiocache.sqlite, whose tables were here first
