"""Admin page of dead letters: list, replay and drop, with a confirmation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from redis import Redis
from redis.exceptions import RedisError

from config.redis import clients as redis_clients
from config.streams import dead_letters
from yapit.models import DeadLetter

PAGE = 100


@dataclass(frozen=True, slots=True)
class Action:
    question: str
    past_participle: str
    permission: str  # the verb of the model's permission
    act: Callable[[Redis, str, Iterable[str]], int]


ACTIONS = {
    "replay": Action("Replay these letters?", "replayed", "change", dead_letters.replay),
    "drop": Action("Permanently drop these letters?", "dropped", "delete", dead_letters.drop),
}


@admin.register(DeadLetter)
class DeadLetterAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """A single page: the letters of one stream, a confirmation, and the action."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        parameters = request.POST if request.method == "POST" else request.GET
        stream = parameters.get("stream") or dead_letters.streams()[0]
        if stream not in dead_letters.streams():
            return HttpResponseBadRequest("There is no such stream.")
        try:
            with redis_clients.sync() as redis:
                if request.method == "POST":
                    return self._act(request, redis, stream)
                return self._list(request, redis, stream)
        except RedisError:
            self.message_user(request, "Redis cannot be reached right now.", messages.ERROR)
            return self._page(request, "change_list", {"letters": []})

    def _list(self, request: HttpRequest, redis: Redis, stream: str) -> HttpResponse:
        before = request.GET.get("before", "")
        if before and not dead_letters.is_id(before):
            return HttpResponseBadRequest("Invalid id.")
        letters = dead_letters.letters(redis, stream, before=before, count=PAGE)
        context = {
            "stream": stream,
            "waiting": dead_letters.waiting(redis),
            "letters": letters,
            "older": letters[-1].id if len(letters) == PAGE else "",
            "actions": [name for name in ACTIONS if self._may(request, name)],
        }
        return self._page(request, "change_list", context)

    def _act(self, request: HttpRequest, redis: Redis, stream: str) -> HttpResponse:
        name, ids = request.POST.get("action", ""), request.POST.getlist("id")
        if name not in ACTIONS or not all(map(dead_letters.is_id, ids)):
            return HttpResponseBadRequest("Invalid action.")
        if not self._may(request, name):
            raise PermissionDenied
        action = ACTIONS[name]
        if ids and "confirmed" not in request.POST:
            context = {"stream": stream, "ids": ids, "action": name, "question": action.question}
            return self._page(request, "confirm", context)
        count = action.act(redis, stream, ids)
        text = f"{count} of {stream} {action.past_participle}."
        self.log_change(request, DeadLetter(id=stream), text)
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)
        return HttpResponseRedirect(f"{reverse('admin:yapit_deadletter_changelist')}?stream={stream}")

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Dead letters"}
        return TemplateResponse(request, f"admin/yapit/deadletter/{template}.html", {**shared, **context})

    def _may(self, request: HttpRequest, action: str) -> bool:
        return bool(request.user.has_perm(f"yapit.{ACTIONS[action].permission}_deadletter"))

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """There are no pages of single letters: redirect links in the admin's history to the list."""
        return HttpResponseRedirect(reverse("admin:yapit_deadletter_changelist"))

    delete_view = history_view = change_view

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
