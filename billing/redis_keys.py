"""Names in Redis that only billing defines; `config.redis.keys` has those that it shares with other apps."""

USAGE_STREAM = "billing"  # stream: one entry for each finished job, as `billing.usage.events` reads it
DEAD_USAGE_STREAM = "dead:billing"  # stream: entries that could not be charged, with the reason
CREDIT_EPOCH = "credit"  # epoch of an account: raised by every change of its balance that is not a charge
