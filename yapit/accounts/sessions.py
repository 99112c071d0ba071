"""Session engine: Django's cached_db sessions, which publish an event when a log-in ends or is renewed."""

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import cached_db

from yapit import invalidation


class SessionStore(cached_db.SessionStore):
    def flush(self) -> None:
        ended = self._logged_in_key()
        super().flush()
        if ended:
            invalidation.session_ended(ended)

    def cycle_key(self) -> None:
        """The log-in continues under another key, so its open sockets are asked to reconnect."""
        renewed = self._logged_in_key()
        super().cycle_key()
        if renewed:
            invalidation.session_renewed(renewed)

    def _logged_in_key(self) -> str | None:
        return self.session_key if SESSION_KEY in self else None
