"""Approximate memory size of a value, to bound caches."""

import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType, ModuleType

SHARED = (type, ModuleType, FunctionType, MethodType)  # parts of the program, which are not counted
PLAIN = (str, bytes, bytearray, int, float, bool, type(None))


def footprint(value: object) -> int:
    """Bytes of the value and all that it refers to, including objects that other values share."""
    total = 0
    seen: set[int] = set()
    pending = [value]
    while pending:
        item = pending.pop()
        if id(item) in seen or isinstance(item, SHARED):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item) + (item.nbytes if isinstance(item, memoryview) else 0)
        if not isinstance(item, PLAIN):
            pending.extend(_parts(item))
    return total


def _parts(item: object) -> Iterable[object]:
    if isinstance(item, Mapping):
        yield from item.keys()
        yield from item.values()
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    if hasattr(item, "__dict__"):
        yield vars(item)
    for kind in type(item).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                yield getattr(item, name, None)
