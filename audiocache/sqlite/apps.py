from django.apps import AppConfig


class SqliteConfig(AppConfig):
    name = "audiocache.sqlite"
    label = (
        "audiocache"  # in the migrations of existing files, the permissions and the addresses of the admin
    )

    def ready(self) -> None:
        from audiocache.sqlite import checks  # noqa: F401  # registers them
