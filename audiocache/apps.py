from django.apps import AppConfig


class AudiocacheConfig(AppConfig):
    name = "audiocache"

    def ready(self) -> None:
        from audiocache import checks  # noqa: F401  # registers them
