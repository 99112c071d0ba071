"""The contract of audio stores, kept by SQLite."""

import pytest

from tests.audiocache.store_contract import StoreContract

PAYLOAD = "id = (SELECT id FROM entry WHERE key = ?)"
DAMAGES = {
    "header": "UPDATE entry SET meta = zeroblob(length(meta)) WHERE key = ?",
    "audio": f"UPDATE payload SET data = zeroblob(length(data)) WHERE {PAYLOAD}",
    "missing": f"DELETE FROM payload WHERE {PAYLOAD}",
}


@pytest.mark.django_db(databases=["audio"], transaction=True)
class TestSqliteStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _is_the_database(self, shown):
        """Migrations run on Django's connection."""

    @pytest.fixture
    def damage(self, tamper):
        return lambda one, part: tamper(DAMAGES[part], one.key)

    @pytest.fixture
    def corrupt(self, shown):
        return lambda: shown.write_bytes(b"a letter to a friend " * 1000)

    @pytest.fixture
    def remove(self, shown):
        return shown.unlink
