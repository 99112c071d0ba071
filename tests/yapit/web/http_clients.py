"""HTTP clients that send default headers, which Django's AsyncClient does not."""

from django.test import AsyncClient


class Client(AsyncClient):
    """Client that sends these headers with each request."""

    def __init__(self, **headers):
        super().__init__()
        self.sent = headers

    def generic(self, *args, headers=None, **more):
        return super().generic(*args, headers=self.sent | (headers or {}), **more)

    async def send(self, method, path, body=None):
        """A request with a JSON body; bytes are sent as they are."""
        call = getattr(self, method.lower())
        return await call(path) if body is None else await call(path, body, content_type="application/json")


def own_page(**headers):
    """Client that sends the Origin of this site: sufficient in single-user mode."""
    return Client(origin="http://testserver", **headers)


def with_key(token):
    return Client(authorization=f"Bearer {token}")
