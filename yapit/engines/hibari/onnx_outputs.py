"""Additional outputs of an ONNX model: exposes an inner value without the onnx package.

An ONNX model is a protobuf message, and parsers merge a repeated sub-message into the first: appending
`graph { output { name } }` to the bytes adds an output. The runtime infers its type.
"""

GRAPH = 7  # field numbers of ModelProto, GraphProto and ValueInfoProto
OUTPUT = 12
NAME = 1
LENGTH_DELIMITED = 2


def with_output(model: bytes, name: str) -> bytes:
    """The model's bytes with the value `name` as its last output."""
    return model + _field(GRAPH, _field(OUTPUT, _field(NAME, name.encode())))


def _field(number: int, content: bytes) -> bytes:
    if len(content) > 127:
        raise ValueError("lengths of more than one byte are not needed here")
    return bytes([number << 3 | LENGTH_DELIMITED, len(content)]) + content
