"""Headers of WAV and AIFF files: lengths that were never true, as a pipe leaves them, and files that end too soon.

libsndfile reads what is there in both cases, or nothing, and says neither.
"""

import struct
from collections.abc import Iterator

from endline.evidence.sound.promised_sizes import Content, check_size, truncated

LARGEST = 0xFFFFFFFF  # bytes that a header can promise
NEVER_TRUE = 0x7FFF0000  # bytes; programs that write to a pipe put this or more, for they cannot seek back


def checked_header(content: bytes) -> bytes:
    """Content of a sound file with the true length in its header, if it is a WAV or AIFF file; others are as they are.

    Args:
        content: the whole file.

    Raises:
        FileRejected: as `true_lengths`.

    Example:
        >>> head = b"RIFF" + bytes(4) + b"WAVE" + b"data"
        >>> list(checked_header(head + bytes([255, 255, 255, 255]) + b"sound!"))[-10:-6]
        [6, 0, 0, 0]
    """
    lengths = true_lengths(content)
    if not lengths:
        return content
    mended = bytearray(content)
    for at, length in lengths.items():
        mended[at : at + len(length)] = length
    return bytes(mended)


def true_lengths(content: Content) -> dict[int, bytes]:
    r"""What belongs at which byte of the header of a WAV or AIFF file whose lengths were never true; empty for others.

    Programs that write to a pipe leave 0x7FFFF000, 0x80000000, 0xFFFFFFFF or 0 as the length of the sound, which then
    reaches to the end of the file.

    Raises:
        FileRejected: when the header promises more than there is; as `check_size` for the rarer formats.

    Example:
        >>> true_lengths(b"RIFF" + bytes(4) + b"WAVE" + b"data" + bytes([255, 255, 255, 255]) + b"sound!")
        {4: b'\x12\x00\x00\x00', 16: b'\x06\x00\x00\x00'}
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        order, sound = "<", b"data"
    elif content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        order, sound = ">", b"SSND"
    else:
        check_size(content)
        return {}
    for name, start, length in chunks(content, order):
        if name == sound:
            there = len(content) - start
            if (length >= NEVER_TRUE and length > there) or (length == 0 and not are_chunks(content, start, order)):
                whole = {4: len(content) - 8, start - 4: there}
                return {position: struct.pack(f"{order}I", min(size, LARGEST)) for position, size in whole.items()}
            if length > there:
                raise truncated(length - there)
            return {}
    return {}


def chunks(content: Content, order: str, at: int = 12) -> Iterator[tuple[bytes, int, int]]:
    r"""Name, first byte and promised length of each chunk of a file, as far as it goes.

    Args:
        content: of the file, or its beginning.
        order: of the bytes of a length, as `struct` has it: "<" in a WAV file, ">" in an AIFF file.
        at: byte at which the first chunk begins; 12 in both.

    Example:
        >>> list(chunks(b"LIST\x03\0\0\0abc\0data\x02\0\0\0de", "<", at=0))
        [(b'LIST', 8, 3), (b'data', 20, 2)]
    """
    while at + 8 <= len(content):
        name, length = content[at : at + 4], struct.unpack(f"{order}I", content[at + 4 : at + 8])[0]
        yield name, at + 8, length
        at += 8 + length + length % 2


def are_chunks(content: Content, at: int, order: str) -> bool:
    r"""Whether the rest of a file is whole chunks, or nothing: then an empty chunk before it is truly empty.

    Args:
        content: of the file.
        at: first byte of the rest.
        order: of the bytes of a length, as `struct` has it.

    Example:
        >>> are_chunks(b"LIST\x02\0\0\0ab", 0, "<"), are_chunks(b"LIST\x02\0\0\0abc, and more", 0, "<")
        (True, False)
    """
    for name, start, length in chunks(content, order, at):
        if not all(32 <= letter < 127 for letter in name):
            return False
        at = start + length + length % 2
    return at in (len(content), len(content) + 1)
