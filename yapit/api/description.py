"""The description of the API: what Ninja reads off the routes, examples, and the audio served beside them."""

from collections.abc import Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from yapit.api.examples import EXAMPLES, HASH, WITH_WAIT, error

JSON = "application/json"
ERROR = {"$ref": "#/components/schemas/Error"}
WAIT = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
SOUND = {"audio/ogg": {"schema": {"type": "string", "format": "binary"}}}
KEPT = {
    "ETag": {"description": "The hash, in quotes.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "A hash names its sound for ever.", "schema": {"type": "string"}},
}
# What one name means everywhere.
PARAMETERS = {
    "document_id": "Of the document.",
    "key_id": "The part of the key that may be shown.",
    "model_id": "A slug, as in `/v1/models`.",
    "voice_id": "A slug, as in `/v1/audio/voices`.",
    "model": "Only those of this model.",
    "language": "Only those of this language, e.g. `en`.",
    "legacy": "Names only, for older clients.",
    "offset": "How many to leave out from the beginning.",
    "limit": "How many at most.",
}


class DescribedAPI(NinjaAPI):
    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        described = super().get_openapi_schema(**options)
        described["paths"]["/v1/audio/{hash}"] = {
            "get": audio_operation("fetch_audio", "Fetch audio", content=SOUND),
            "head": audio_operation("look_for_audio", "Look whether audio is there"),
        }
        for operation in operations(described):
            exemplify(operation)
        return described


def audio_operation(name: str, summary: str, **success: Any) -> dict[str, Any]:
    """`yapit.api.audio` answers it, which Ninja does not know."""
    answers = {
        200: {"description": "The whole of it.", "headers": KEPT, **success},
        206: {"description": "The `Range` that was asked for.", "headers": KEPT, **success},
        304: {"description": "The client has it."},
    }
    errors = {
        status: {"description": why, "content": {JSON: {"schema": ERROR}}}
        for status, why in (
            (401, "Not with these credentials."),
            (403, "Not from this origin."),
            (404, "`audio_gone`: ask for the block again. `not_found`: this is no hash."),
            (416, "`Content-Range` says how long it is."),
            (503, "It cannot be read right now."),
        )
    }
    return {
        "operationId": name,
        "summary": summary,
        "description": "Of a block that was told to be `cached`. May be kept for ever.",
        "tags": ["speech"],
        "parameters": [
            parameter("hash", "path", "Lower-case hexadecimal.", pattern="^[0-9a-f]{64}$", example=HASH),
            parameter("Range", "header", "One range of bytes.", example="bytes=0-4095"),
            parameter("If-None-Match", "header", "Answered 304 without looking.", example=f'"{HASH}"'),
        ],
        "responses": {**answers, **errors},
        "security": [{"Account": []}],
    }


def parameter(name: str, place: str, about: str, *, example: str, **schema: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": about,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def operations(described: OpenAPISchema) -> Iterator[dict[str, Any]]:
    for methods in described["paths"].values():
        yield from methods.values()


def exemplify(operation: dict[str, Any]) -> None:
    """Add an example to each body, in and out, to errors how long to wait, and what parameters mean."""
    for given in operation["parameters"]:
        given.setdefault("description", PARAMETERS.get(given["name"], ""))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        add_example(content)
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get(JSON, {})
        if content.get("schema") == ERROR:
            content["example"] = error(int(status))
        else:
            add_example(content)
        if int(status) in WITH_WAIT:
            answer["headers"] = {**WAIT, **answer.get("headers", {})}


def add_example(content: dict[str, Any]) -> None:
    for name in names_of_shapes(content.get("schema", {})):
        if name in EXAMPLES:
            content["example"] = EXAMPLES[name]
            return


def names_of_shapes(schema: dict[str, Any]) -> Iterator[str]:
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            yield one["$ref"].rpartition("/")[2]
