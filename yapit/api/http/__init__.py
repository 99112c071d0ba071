"""HTTP layers shared by all endpoints: authentication, errors, conditional requests, body limit."""

__all__ = [
    "auth",
    "body_limit",
    "conditional",
    "default_headers",
    "error_body",
    "errors",
    "handler",
    "http_cache",
    "not_modified",
    "responses",
]
