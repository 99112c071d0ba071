"""`manage.py run_web`: the web process, which serves HTTP and WebSockets."""

import gc
import ipaddress
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from config.observability import metrics
from config.redis import layout

BACKLOG = 1024
YOUNG_OBJECTS = (
    10_000  # before a garbage collection: a burst of messages creates thousands, few of them cyclic
)


class Command(BaseCommand):
    help = "Serve HTTP and WebSockets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--server", choices=["daphne", "uvicorn"], default="daphne")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *, server: str, host: str, port: int, **options: Any) -> None:
        if not settings.MULTI_USER and not is_loopback(host):
            raise CommandError(
                f"{host} can be reached by others, and there is no log-in without MULTI_USER=1."
                " Use 127.0.0.1."
            )
        with listen(host, port) as listener:
            layout.require()
            metrics.serve(settings.METRICS_PORT)
            application = import_string(settings.ASGI_APPLICATION)
            # All loaded objects are permanent: exclude them from garbage collections.
            gc.collect()
            gc.freeze()
            gc.set_threshold(YOUNG_OBJECTS)
            run = import_string(f"config.serving.{server}.run")
            run(application, listener, settings.DRAIN_SECONDS)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound before the application is loaded, so that a taken port is an early error."""
    if port not in range(65_536):  # the resolver would truncate larger numbers
        raise CommandError(f"There is no port {port}. Choose another with --port.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        raise CommandError(f"Cannot listen on {host}:{port}: {reason}. Choose another with --port.") from exc
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
