"""Seeded changes of values, bytes, records, arrays and checkpoints."""

import copy
import io
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 3, 2**31, 2**70, -(2**70), 0.5, -1.5, 1e300, float("nan"), float("inf"), "", "x", "1", "\0",
    "é\ud800", "a\nb", "../../etc/passwd", "os.system", "x" * 5000, [], [1], ["x"], [None], [[]], {},
    {"": 0}, {"a": {"b": 1}}, {"class_path": "os.system", "init_args": {"command": "false"}},
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value inside of nested dicts and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*at, key)
        yield from places(entry, (*at, key))


def change(value: Any, chance: random.Random) -> Any:
    """Change one value among nested dicts and lists: replace it, remove it, or add another one beside it."""
    place = chance.choice(list(places(value)) or [()])
    if not place:
        return copy.deepcopy(chance.choice(VALUES))
    *above, last = place
    parent = value
    for key in above:
        parent = parent[key]
    what = chance.choice(["replace", "replace", "replace", "remove", "add", "swap"])
    if what == "remove":
        del parent[last]
    elif what == "add" and isinstance(parent, dict):
        parent[chance.choice(["x", "", "1", "version", "épée"])] = copy.deepcopy(chance.choice(VALUES))
    elif what == "add":
        parent.insert(last, copy.deepcopy(chance.choice(VALUES)))
    elif what == "swap":  # with a value from elsewhere, so that its type is one that occurs
        other = value
        for key in chance.choice(list(places(value))):
            other = other[key]
        parent[last] = copy.deepcopy(other)
    else:
        parent[last] = copy.deepcopy(chance.choice(VALUES))
    return value


def damage(content: bytes, chance: random.Random) -> bytes:
    """Flip, cut off, remove or repeat bytes."""
    start, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    flipped = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    noise = bytes(chance.randrange(256) for _ in range(20))
    changed = (content[:start], content[:start] + content[end:], content[:end] + content[start:], bytes(flipped), noise)
    return chance.choice(changed)


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """Change values in a JSON text, or its bytes."""
    if chance.random() < 0.15:
        return damage(content, chance)
    value = json.loads(content)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        value = change(value, chance)
    return json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")


def changed_lines(content: bytes, chance: random.Random) -> bytes:
    """Change one line of metrics.jsonl or metrics.csv."""
    lines = content.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    if lines[number].startswith(b"{") and chance.random() < 0.7:
        lines[number] = json.dumps(change(json.loads(lines[number]), chance)).encode() + b"\n"
    else:
        cells = lines[number].rstrip(b"\n").split(b",")
        cells[chance.randrange(len(cells))] = json.dumps(chance.choice(VALUES)).encode()
        lines[number] = b",".join(cells) + b"\n"
    return damage(content, chance) if chance.random() < 0.2 else b"".join(lines)


def changed_arrays(content: bytes, chance: random.Random) -> bytes:
    """Change one array of test.npz: its type, its shape or its values; or the file's bytes."""
    if chance.random() < 0.3:
        return damage(content, chance)
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = chance.choice(list(arrays))
    array = arrays.pop(name)
    number = np.issubdtype(array.dtype, np.number)
    ways: list[Callable[[], Any]] = [
        lambda: None, lambda: array[:0], lambda: array[:-1], lambda: array[None], lambda: array.astype(str),
        lambda: np.zeros((), array.dtype), lambda: np.array(["x"] * len(array)),
        lambda: np.full_like(array, np.nan) if array.dtype.kind == "f" else array[::-1],
        lambda: -array if number else array, lambda: array.astype(complex) if number else array,
        lambda: np.full_like(array, np.inf) if array.dtype.kind == "f" else array + 1 if number else array,
    ]  # fmt: skip
    if (replaced := chance.choice(ways)()) is not None:
        arrays[name] = replaced
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def changed_checkpoint(content: bytes, chance: random.Random) -> bytes:
    """Change a value anywhere in a checkpoint, or its bytes."""
    if chance.random() < 0.25:
        return damage(content, chance)
    stored = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(chance.choice([1, 1, 2])):
        part = chance.choice(list(stored))
        if chance.random() < 0.9 and isinstance(stored[part], dict | list):
            stored[part] = change(stored[part], chance)
        else:
            stored = change(stored, chance)
        if not isinstance(stored, dict) or not stored:
            break
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    return buffer.getvalue()
