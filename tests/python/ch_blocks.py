"""Takes bytes in ClickHouse's compressed-block framing, or plain bytes. Gives the other of the two.

Never accepts a block whose checksum does not fit: a client's framing mistake must not pass a test.

A block is: checksum (16 bytes, CityHash128 of what follows), method (1), compressed size (4, with this
9-byte header), plain size (4), data.
"""

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

LZ4, ZSTD, NONE = 0x82, 0x90, 0x02
CHECKSUM, HEADER = 16, 9
LOW_64_BITS = (1 << 64) - 1


class BlockError(Exception):
    """A block that ClickHouse would refuse."""


def decompress(framed):
    plain, at = [], 0
    while at < len(framed):
        body = at + CHECKSUM
        size = int.from_bytes(framed[body + 1 : body + 5], "little")
        plain_size = int.from_bytes(framed[body + 5 : body + 9], "little")
        block = bytes(framed[body : body + size])
        if len(block) != size or _checksum(block) != bytes(framed[at:body]):
            raise BlockError("Code: 40. DB::Exception: Checksum doesn't match (CHECKSUM_DOESNT_MATCH)")
        plain.append(_decompress_one(block[0], block[HEADER:], plain_size))
        at = body + size
    return b"".join(plain)


def compress(plain, block_size=1 << 20):
    framed = []
    for at in range(0, len(plain), block_size):
        piece = bytes(plain[at : at + block_size])
        data = lz4.block.compress(piece, store_size=False)
        block = bytes([LZ4]) + (len(data) + HEADER).to_bytes(4, "little") + len(piece).to_bytes(4, "little") + data
        framed.append(_checksum(block) + block)
    return b"".join(framed)


def _decompress_one(method, data, plain_size):
    if method == LZ4:
        return lz4.block.decompress(data, uncompressed_size=plain_size)
    if method == ZSTD:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=plain_size)
    if method == NONE:
        return data
    raise BlockError(f"Code: 89. DB::Exception: Unknown compression method {method:#x} (UNKNOWN_COMPRESSION_METHOD)")


def _checksum(block):
    digest = CityHash128(block)
    low, high = (digest >> 64, digest & LOW_64_BITS) if isinstance(digest, int) else digest
    return low.to_bytes(8, "little") + high.to_bytes(8, "little")
