"""Names of Redis keys that only yapit reads or writes; `config.redis.keys` has those shared with other apps.

Python builds key names here; Lua scripts spell them out. A test compares both with `KEYS`.
"""

# By the first part of the name: type, content, and when the key is deleted.
KEYS = {
    "dead": "streams by stream, and dead:jobs: dead letters; until an operator deletes or replays them",
    "day": "hash by days since 1970-01-01: characters and jobs; expires after nine days",
    "gain": "hash by model and revision: gains of voices in dB; lasting",
    "inflight": "string by key of a result: the id of its unfinished job; until the end of the job",
    "job": "hash by id: an unfinished job; until its end",
    "job-number": "integer: requests so far, which orders jobs of one rank; lasting",
    "leases": "sorted set: ids of claimed jobs by the end of their lease in ms; until submitted or released",
    "limit": "token buckets (hashes) and slots (sorted sets) of accounts, names and addresses; expire",
    "notify": "Pub/Sub channel by web process: key, status and detail of ended jobs",
    "outcome": "string by key of a result: how a job ended without one; expires after 60 s (e) or a week (s)",
    "queue": "sorted sets by queue (users by virtual time) and user (jobs by rank); while jobs wait",
    "res": "string by job: bytes of an accepted result; until FINALIZE renames it",
    "results": "stream: submitted results; each until FINALIZE",
    "served": "string by queue and user: virtual time after the user's last job; expires after 600 s",
    "subs": "set by key of a result: subscribers (user:document:index:process.connection); until its end",
    "ticket": "string by digest: the identity that bought a WebSocket ticket; until used, or expires",
    "up": "string by job and worker: uploaded bytes of a result; until SUBMIT renames it, or expires",
    "vtime": "string by queue: virtual time of the last claim; lasting",
    "wake": "list by queue: at most 64 tokens that wake idle workers; until no job waits",
}

RESULTS = "results"


def wake(queue: str) -> str:
    return f"wake:{queue}"


def upload(job_id: str, worker: str) -> str:
    return f"up:{job_id}:{worker}"


def notify(process: str) -> str:
    return f"notify:{process}"


def gains(model: str, revision: str) -> str:
    return f"gain:{model}:{revision}"


def message_bucket(user_id: int) -> str:
    return f"limit:messages:{user_id}"


def ticket_bucket(user_id: int) -> str:
    return f"limit:tickets:{user_id}"


def login_name_bucket(name_digest: str) -> str:
    return f"limit:logins:name:{name_digest}"


def login_address_bucket(address: str) -> str:
    return f"limit:logins:address:{address}"


def connection_slots(user_id: int) -> str:
    return f"limit:connections:{user_id}"


def ticket(digest: str) -> str:
    return f"ticket:{digest}"
