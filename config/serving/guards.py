"""What a single connection may ask of us, whichever server it meets."""

HEAD_BYTES = 65536  # of one request: its line and its headers
BODY_BYTES = 16 * 1024 * 1024  # of one request; applications have smaller limits of their own, and say so
MESSAGE_BYTES = 65536  # our largest message is a request for 32 blocks
PING_SECONDS = 10
PONG_SECONDS = 10
HTTP_SECONDS = 60
QUEUED_MESSAGES = 64  # that the application has not looked at yet
UNSENT_BYTES = 2 * 1024 * 1024  # that a slow reader has not taken yet
POLICY_VIOLATION = 1008
SERVICE_RESTART = 1012
