"""Arrays in JSON: one block of bytes, deflated and in base64, and a table that says where each array lies in it.

The page reads it with `page/numbers.js`; in Python it is `unpack`.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNED = 4  # every array begins at a multiple, as typed arrays of the browser must


class Packer:
    """Collects arrays of float32, int32 and uint8 under names."""

    def __init__(self) -> None:
        self._table: dict[str, dict[str, Any]] = {}
        self._parts: list[bytes] = []
        self._length = 0

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Add an array; floats become float32, integers int32, bytes stay."""
        kind = "uint8" if values.dtype == np.uint8 else "float32" if values.dtype.kind == "f" else "int32"
        content = np.ascontiguousarray(values.astype(np.dtype(kind).newbyteorder("<"))).tobytes()
        self._table[name] = {"type": kind, "shape": list(values.shape), "offset": self._length}
        content += bytes(-len(content) % ALIGNED)
        self._parts.append(content)
        self._length += len(content)

    def packed(self) -> dict[str, Any]:
        """`{"table": …, "data": …}`, of JSON's types."""
        data = base64.b64encode(zlib.compress(b"".join(self._parts), 9)).decode("ascii")
        return {"table": self._table, "data": data}


def unpack(packed: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays by name."""
    content = zlib.decompress(base64.b64decode(packed["data"]))
    found = {}
    for name, place in packed["table"].items():
        count = int(np.prod(place["shape"]))
        kind = np.dtype(place["type"]).newbyteorder("<")
        found[name] = np.frombuffer(content, kind, count, place["offset"]).reshape(place["shape"])
    return found


def plain(value: Any) -> Any:
    """JSON's types of dataclasses and small arrays; floats as the shortest decimals of float32."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.dtype.kind != "f" else [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value
