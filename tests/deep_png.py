"""PNG files of 16 bits, which Pillow cannot write in colour."""

import struct
import zlib


def deep_png(level: int, in_colour: bool = False) -> bytes:
    """4×4 pixels of one level, from 0 to 65,535."""
    rows = 4 * (b"\0" + (12 if in_colour else 4) * level.to_bytes(2, "big"))
    header = struct.pack(">II5B", 4, 4, 16, 2 if in_colour else 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
