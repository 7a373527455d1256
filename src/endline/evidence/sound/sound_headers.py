"""Headers of WAV and AIFF files: lengths that were never true, as a pipe leaves them, and files that end too soon.

libsndfile reads what is there in both cases, or nothing, and says neither.
"""

import struct

from endline.evidence.sound.promised_sizes import check_size, truncated

NEVER_TRUE = 0x7FFF0000  # bytes; programs that write to a pipe put this or more, for they cannot seek back


def checked_header(content: bytes) -> bytes:
    """Content of a sound file with the true length in its header, if it is a WAV or AIFF file; others are as they are.

    Programs that write to a pipe leave 0x7FFFF000, 0x80000000, 0xFFFFFFFF or 0 as the length of the sound, which then
    reaches to the end of the file.

    Args:
        content: the whole file.

    Raises:
        FileRejected: when the header promises more than there is; as `check_size` for the rarer formats.

    Example:
        >>> head = b"RIFF" + bytes(4) + b"WAVE" + b"data"
        >>> list(checked_header(head + bytes([255, 255, 255, 255]) + b"sound!"))[-10:-6]
        [6, 0, 0, 0]
    """
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        order, sound = "<", b"data"
    elif content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        order, sound = ">", b"SSND"
    else:
        check_size(content)
        return content
    at = 12
    while at + 8 <= len(content):
        name, length = content[at : at + 4], struct.unpack_from(f"{order}I", content, at + 4)[0]
        if name == sound:
            there = len(content) - at - 8
            if (length >= NEVER_TRUE and length > there) or (length == 0 and not _are_chunks(content, at + 8, order)):
                return _with_lengths(content, at, order)
            if length > there:
                raise truncated(length - there)
            return content
        at += 8 + length + length % 2
    return content


def _with_lengths(content: bytes, at: int, order: str) -> bytes:
    """Content whose last chunk, at byte `at`, reaches to its end."""
    mended = bytearray(content)
    struct.pack_into(f"{order}I", mended, 4, len(content) - 8)
    struct.pack_into(f"{order}I", mended, at + 4, len(content) - at - 8)
    return bytes(mended)


def _are_chunks(content: bytes, at: int, order: str) -> bool:
    """Whether the rest of a file is whole chunks, or nothing: then an empty chunk before it is truly empty."""
    while at + 8 <= len(content) and all(32 <= letter < 127 for letter in content[at : at + 4]):
        length = struct.unpack_from(f"{order}I", content, at + 4)[0]
        at += 8 + length + length % 2
    return at in (len(content), len(content) + 1)
