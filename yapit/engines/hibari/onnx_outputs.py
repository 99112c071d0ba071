"""Lets an ONNX model tell one of its inner values, without the onnx package and without touching the file.

An ONNX model is a protobuf message, and parsers merge a repeated sub-message into the first: appending
`graph { output { name } }` to the bytes adds an output. The runtime finds out its type itself.
"""

GRAPH = 7  # field numbers of ModelProto, GraphProto and ValueInfoProto
OUTPUT = 12
NAME = 1
LENGTH_DELIMITED = 2


def with_output(model: bytes, name: str) -> bytes:
    return model + _field(GRAPH, _field(OUTPUT, _field(NAME, name.encode())))


def _field(number: int, content: bytes) -> bytes:
    if len(content) > 127:
        raise ValueError("lengths of more than one byte are not needed here")
    return bytes([number << 3 | LENGTH_DELIMITED, len(content)]) + content
