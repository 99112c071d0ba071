"""WebSocket consumer at /v1/ws/events: tells its client what has changed, without the new values."""

from uuid import UUID

from config.database.offload import offload
from yapit import documents, invalidation, protocol
from yapit.protocol import ProtocolError, Subject
from yapit.sockets.authenticated_socket import AuthenticatedSocket

SUBJECTS: dict[str, Subject] = {
    invalidation.ACCESS: "voices",
    invalidation.ACCOUNT: "account",
    invalidation.CREDIT: "balance",
    invalidation.KEYS: "keys",
    invalidation.PREFERENCES: "preferences",
    invalidation.SPENT: "balance",
}


class EventsSocket(AuthenticatedSocket):
    """Follows its account without being asked, and the documents that its client watches."""

    def decode(self, text: str | None) -> protocol.EventsClientMessage:
        return protocol.decode_events(text)

    def prepare(self) -> None:
        self.watched: dict[UUID, None] = {}  # in the order of the requests
        self.own_events = [f"{kind}{self.identity.user_id}" for kind in SUBJECTS] + [invalidation.CATALOG]

    async def begin(self) -> None:
        await self.hub.changes.follow(self, *self.own_events)
        self.on_changes_missed()

    def end(self) -> None:
        self.hub.changes.unfollow(self, *self.own_events, *map(_event_of, self.watched))

    async def handle(self, message: protocol.EventsClientMessage) -> None:
        await self.check_rate()
        match message:
            case protocol.Watch():
                await self._watch(message.document_ids)
            case protocol.Unwatch():
                for document_id in message.document_ids:
                    self.watched.pop(document_id, None)
                self.hub.changes.unfollow(self, *map(_event_of, message.document_ids))
        self.put(protocol.Watching(document_ids=list(self.watched)))

    async def _watch(self, document_ids: list[UUID]) -> None:
        wanted = dict.fromkeys(document_ids)
        if len(self.watched | wanted) > protocol.MAX_WATCHED:
            raise ProtocolError("too_many_watched")
        readers = await offload(documents.readers_of, wanted)
        allowed = [one for one in wanted if one in readers and readers[one].include(self.identity.user_id)]
        await self.hub.changes.follow(self, *map(_event_of, allowed))
        self.watched.update(dict.fromkeys(allowed))
        for document_id in wanted.keys() - set(allowed):
            self.watched.pop(document_id, None)
            self.hub.changes.unfollow(self, _event_of(document_id))
            self.send_error(ProtocolError("document_not_found", document_id=document_id))

    # --- Called by the change feed ----------------------------------------------------------------------

    def on_changes_missed(self) -> None:
        self.put(protocol.Connected())

    def on_change(self, event: str) -> None:
        if event.startswith(invalidation.DOCUMENT):
            document_id = UUID(invalidation.subject_of(event))
            self.put(protocol.Changed(subject="document", document_id=document_id))
        elif event == invalidation.CATALOG:
            self.put(protocol.Changed(subject="voices"))
        else:
            self.put(protocol.Changed(subject=SUBJECTS[event.partition(":")[0] + ":"]))

    def on_document_gone(self, document_id: UUID) -> None:
        self.watched.pop(document_id, None)
        self.put(protocol.DocumentGone(document_id=document_id))


def _event_of(document_id: UUID) -> str:
    return f"{invalidation.DOCUMENT}{document_id}"
