from django.apps import AppConfig


class AudiocacheConfig(AppConfig):
    name = "audiocache"
