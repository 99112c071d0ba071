"""Django's sessions, in PostgreSQL and Redis; a log-in that ends says so, through whichever door."""

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import cached_db

from yapit import invalidation


class SessionStore(cached_db.SessionStore):
    def flush(self) -> None:
        ended = self._log_in()
        super().flush()
        if ended:
            invalidation.session_ended(ended)

    def cycle_key(self) -> None:
        """The same log-in under another key: its open sockets are told to come back with that."""
        renewed = self._log_in()
        super().cycle_key()
        if renewed:
            invalidation.session_renewed(renewed)

    def _log_in(self) -> str | None:
        return self.session_key if SESSION_KEY in self else None
