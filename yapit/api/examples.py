"""Examples of requests, responses and errors for the OpenAPI description."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from yapit.api.http import error_body

DOCUMENT_ID = "6f1c2b7e-6f0e-4f8e-9a7e-2d6a54a3f0c1"
HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MOMENT = "2026-03-01T09:30:00Z"

POSITION = {"block_idx": 12}
DOCUMENT = {
    "id": DOCUMENT_ID,
    "object": "document",
    "title": "Good morning",
    "created": MOMENT,
    "updated": MOMENT,
    "is_public": False,
    "is_owner": True,
    "block_count": 2,
    "characters": 48,
    "est_duration_ms": 3400,
    "position": {**POSITION, "played_at": MOMENT},
}
BLOCK = {"idx": 0, "text": "Good morning.", "est_duration_ms": 900, "pause_ms": 500}
SECTION = {
    "position": 0,
    "kind": "heading",
    "html": '<h1><span data-block="0">Good morning</span></h1>',
    "first_block": 0,
    "block_count": 1,
}
MODEL = {
    "id": "hibari",
    "object": "model",
    "created": 1772357400,
    "owned_by": "yapit",
    "name": "Hibari",
    "usage_type": "standard",
    "usage_multiplier": 1.0,
}
VOICE = {
    "id": "heart",
    "object": "voice",
    "name": "Heart",
    "language": "en",
    "gender": "female",
    "model": "hibari",
    "description": "Warm and clear.",
    "is_owner": False,
}
KEY = {
    "id": "81734480c7b9",
    "object": "api_key",
    "name": "laptop",
    "created": MOMENT,
    "last_used": MOMENT,
    "expires_at": None,
}
PREFERENCES = {
    "pinned_voices": ["heart"],
    "default_voice": "heart",
    "default_speed": 1.25,
    "usage_threshold": 80,
}
SUMS = {"events": 3, "characters": 420, "cost": 420, "duration_ms": 29000}

EXAMPLES: Mapping[str, Any] = {
    "NewText": {"content": "# Good morning\n\nThis was one command. Now it speaks.", "markdown": True},
    "DocumentChange": {"title": "A better title", "is_public": True},
    "DocumentOut": DOCUMENT,
    "DocumentList": {"object": "list", "data": [DOCUMENT], "total": 1},
    "BlockList": {"object": "list", "data": [BLOCK], "total": 2},
    "SectionList": {"object": "list", "data": [SECTION], "total": 2},
    "NewPosition": POSITION,
    "Position": POSITION,
    "ModelOut": MODEL,
    "ModelList": {"object": "list", "data": [MODEL]},
    "AudioModelList": {"models": [{"id": "hibari"}]},
    "VoiceList": {"object": "list", "voices": [VOICE], "data": [VOICE]},
    "VoiceNames": {"voices": ["heart"]},
    "Leaderboard": {
        "object": "list",
        "data": [
            {
                "day": "2026-03-01",
                "kind": "voice",
                "rank": 1,
                "voice": "heart",
                "model": "hibari",
                "characters": 51200,
                "listeners": 12,
            }
        ],
        "cursor": "MjAyNi0wMy0wMToxOjNmMmE",
        "has_more": False,
    },
    "NewSpeech": {"text": "Hello there.", "voice": "heart"},
    "SpeechOut": {
        "hash": HASH,
        "audio_url": f"/v1/audio/{HASH}",
        "duration_ms": 900,
        "words": [{"t": "Hello", "s": 0.31, "e": 0.62}, {"t": "there.", "s": 0.62, "e": 0.87}],
        "cached": False,
        "model": "hibari",
        "voice": "heart",
    },
    "Me": {"id": 1, "username": "local", "via": "key"},
    "Ticket": {"object": "ticket", "ticket": "yt_3q2mB0c8w1", "expires_in": 30},
    "AccountDeletion": {"password": "correct horse battery staple"},
    "KeyRequest": {"name": "laptop", "expires_in_days": 90},
    "KeyChange": {"name": "old laptop"},
    "KeyOut": KEY,
    "NewKeyOut": {**KEY, "token": "yk_81734480c7b9_a6709c24a6c1..."},
    "KeyList": {"object": "list", "data": [KEY], "total": 1, "limit": 25},
    "PreferencesOut": PREFERENCES,
    "PreferencesChange": PREFERENCES,
    "UsageOut": {
        "object": "usage",
        "period": {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"},
        "plan": {"id": "free", "name": "Free"},
        "balances": [
            {
                "usage_type": "standard",
                "limit": 10000,
                "used": 420,
                "total": 420,
                "rollover": 0,
                "purchased": 0,
                "available": 9580,
                "pending": 0,
            }
        ],
        "by_voice": [{"voice": "heart", "model": "hibari", **SUMS}],
        "by_model": [{"model": "hibari", **SUMS}],
        "by_document": [{"document": DOCUMENT_ID, "title": "Good morning", **SUMS}],
        "by_day": [{"day": "2026-03-01", **SUMS}],
    },
}

# One error code of each status; docs/protocol.md lists all of them.
ERRORS = {
    400: ("invalid_request", "content: Field required", "content"),
    401: ("invalid_api_key", "The API key is unknown, revoked or expired.", None),
    402: ("usage_limit", "The characters of the plan are used up.", None),
    403: ("origin_refused", "The request does not come from this site.", None),
    404: ("not_found", "There is nothing here.", None),
    409: ("too_many_keys", "The account has as many keys as it may have: revoke one.", None),
    413: ("request_too_large", "The request is larger than this server takes.", None),
    416: ("range_not_satisfiable", "The audio has no such range.", None),
    422: ("nothing_to_speak", "The text has nothing to say.", "content"),
    429: ("rate_limited", "More was asked for than may be at once.", None),
    502: ("engine_failed", "The voice failed on this text.", None),
    503: ("unavailable", "The server cannot answer this right now. Try again.", None),
    504: ("timeout", "It takes longer than this request waits, and goes on.", None),
}
WITH_RETRY_AFTER = (429, 503, 504)


def error(status: int) -> dict[str, Any]:
    """Example of an error body with this status."""
    code, message, param = ERRORS.get(status, (None, HTTPStatus(status).phrase, None))
    return error_body.body(status, message, code=code, param=param)
