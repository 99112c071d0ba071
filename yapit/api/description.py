"""OpenAPI description: Ninja's own, with examples and the audio endpoint, which is not a Ninja view."""

from collections.abc import Iterator
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from yapit.api.examples import EXAMPLES, HASH, WITH_RETRY_AFTER, error
from yapit.api.http.auth import RequireAccount

JSON = "application/json"
ERROR = {"$ref": "#/components/schemas/Error"}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
OGG_BODY = {"audio/ogg": {"schema": {"type": "string", "format": "binary"}}}
CACHE_HEADERS = {
    "ETag": {"description": "The hash, in quotes.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "Audio of a hash never changes.", "schema": {"type": "string"}},
}
# Descriptions of parameters by name.
PARAMETERS = {
    "document_id": "Id of the document.",
    "key_id": "The public part of the key.",
    "model_id": "Slug of the model, as in `/v1/models`.",
    "voice_id": "Slug of the voice, as in `/v1/audio/voices`.",
    "model": "Only voices of this model.",
    "language": "Only voices of this language, e.g. `en`.",
    "legacy": "Ids only, for older clients.",
    "offset": "Number of items to skip.",
    "limit": "Maximum number of items.",
}


class DescribedAPI(NinjaAPI):
    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        description = super().get_openapi_schema(**options)
        description["paths"]["/v1/audio/{hash}"] = {
            "get": audio_operation("fetch_audio", "Fetch audio", content=OGG_BODY),
            "head": audio_operation("check_audio", "Check whether audio exists"),
        }
        for operation in operations(description):
            add_examples(operation)
        return description


def audio_operation(name: str, summary: str, **success: Any) -> dict[str, Any]:
    """OpenAPI operation of `yapit.api.audio`."""
    answers = {
        200: {"description": "The complete audio.", "headers": CACHE_HEADERS, **success},
        206: {"description": "The requested range.", "headers": CACHE_HEADERS, **success},
        304: {"description": "The client's copy is current."},
    }
    errors = {
        status: {"description": reason, "content": {JSON: {"schema": ERROR}}}
        for status, reason in (
            (401, "Missing or invalid credentials."),
            (403, "Origin not allowed."),
            (404, "`audio_gone`: request the block again. `not_found`: not a hash."),
            (416, "`Content-Range` has the length."),
            (503, "The audio cannot be read right now."),
        )
    }
    return {
        "operationId": name,
        "summary": summary,
        "description": "Audio of a block with status `cached`. May be cached forever.",
        "tags": ["speech"],
        "parameters": [
            parameter("hash", "path", "Lower-case hexadecimal hash.", pattern="^[0-9a-f]{64}$", example=HASH),
            parameter("Range", "header", "A single byte range.", example="bytes=0-4095"),
            parameter(
                "If-None-Match",
                "header",
                "Answered with 304 without a lookup: audio of a hash never changes.",
                example=f'"{HASH}"',
            ),
        ],
        "responses": {**answers, **errors},
        "security": [{RequireAccount.__name__: []}],
    }


def parameter(name: str, location: str, description: str, *, example: str, **schema: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": location,
        "required": location == "path",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def operations(description: OpenAPISchema) -> Iterator[dict[str, Any]]:
    for methods in description["paths"].values():
        yield from methods.values()


def add_examples(operation: dict[str, Any]) -> None:
    """Add examples of bodies, descriptions of parameters, and the Retry-After header of errors."""
    for item in operation["parameters"]:
        item.setdefault("description", PARAMETERS.get(item["name"], ""))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        add_example(content)
    for status, answer in operation["responses"].items():
        content = answer.get("content", {}).get(JSON, {})
        if content.get("schema") == ERROR:
            content["example"] = error(int(status))
        else:
            add_example(content)
        if int(status) in WITH_RETRY_AFTER:
            answer["headers"] = {**RETRY_AFTER, **answer.get("headers", {})}


def add_example(content: dict[str, Any]) -> None:
    for name in schema_names(content.get("schema", {})):
        if name in EXAMPLES:
            content["example"] = EXAMPLES[name]
            return


def schema_names(schema: dict[str, Any]) -> Iterator[str]:
    for one in (schema, *schema.get("anyOf", ())):
        if "$ref" in one:
            yield one["$ref"].rpartition("/")[2]
