"""Credit checks of open connections: they learn of changed balances."""

from collections.abc import Callable, Set

from config import caching
from yapit import invalidation
from yapit.realtime.background import BackgroundTasks, run_all
from yapit.realtime.connections import Billed
from yapit.synthesis import credit


class CreditChecks:
    def __init__(self, background: BackgroundTasks) -> None:
        self._background = background
        self._connections: set[Billed] = set()

    def add(self, connection: Billed) -> None:
        self._connections.add(connection)

    def remove(self, connection: Billed) -> None:
        self._connections.discard(connection)

    def subscribe(self) -> Callable[[], None]:
        """Follow changes of balances. Returns a function that ends this."""
        # `yapit.synthesis.credit` subscribed first, and has forgotten the old balance by then.
        return caching.subscribe(f"{invalidation.CREDIT}*", self._on_change, missed=self._on_missed_changes)

    async def compare_epochs(self) -> None:
        """Find balances whose change was not received."""
        self._check(set(await credit.outdated(list(self._billed_user_ids()))))

    def _on_change(self, event: str) -> None:
        user_id = event.removeprefix(invalidation.CREDIT)
        self._check({int(user_id)} if user_id.isdecimal() else set())

    def _on_missed_changes(self) -> None:
        self._check(self._billed_user_ids())

    def _check(self, user_ids: Set[int]) -> None:
        affected = [connection for connection in self._connections if connection.billed_user_id in user_ids]
        if affected:
            self._background.spawn(run_all(connection.check_credit() for connection in affected))

    def _billed_user_ids(self) -> set[int]:
        user_ids = (connection.billed_user_id for connection in self._connections)
        return {user_id for user_id in user_ids if user_id is not None}
