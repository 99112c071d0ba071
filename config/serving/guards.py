"""Limits of a single connection, the same for both servers."""

HEAD_BYTES = 65536  # of a request: its line and headers
BODY_BYTES = 16 * 1024 * 1024  # of a request; applications have smaller limits, which they report
MESSAGE_BYTES = 65536  # the largest message is a request for 32 blocks
PING_SECONDS = 10
PONG_SECONDS = 10
HTTP_SECONDS = 60
QUEUED_MESSAGES = 64  # received and not processed by the application
UNSENT_BYTES = 2 * 1024 * 1024  # buffered for a slow client
POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012
