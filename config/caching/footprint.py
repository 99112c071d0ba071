"""How much memory a value takes, near enough to bound a cache by it."""

import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType, ModuleType

SHARED = (type, ModuleType, FunctionType, MethodType)  # the program's, not the value's
PLAIN = (str, bytes, bytearray, int, float, bool, type(None))


def footprint(value: object) -> int:
    """Bytes of the value and all it holds, each object once. What others share is counted, too."""
    total = 0
    seen: set[int] = set()
    left = [value]
    while left:
        item = left.pop()
        if id(item) in seen or isinstance(item, SHARED):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item) + (item.nbytes if isinstance(item, memoryview) else 0)
        if not isinstance(item, PLAIN):
            left.extend(_parts(item))
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
