"""What a sound file is apart from its sound, as its header has it."""

import re
from pathlib import Path

from endline.evidence.sound.recordings import SoundStream
from endline.evidence.sound.stored_sound import StoredSound

LOSSLESS = re.compile(r"(?:PCM|ALAC)_[A-Z]?(\d+)")


def file_facts(path: Path) -> dict[str, int]:
    """Rate in Hz, number of channels and bits of a sample of a file that can be read; of its bytes the header alone.

    Example:
        >>> import numpy as np, soundfile, tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        ...     soundfile.write(file.name, np.zeros((100, 2)), 16_000, subtype="PCM_24")
        ...     file_facts(Path(file.name))
        {'rate': 16000, 'channels': 2, 'bits': 24}
    """
    with StoredSound(path) as content:
        content.mend()
        with SoundStream(content) as file:
            return {"rate": file.samplerate, "channels": file.channels, "bits": bits_of(file.subtype)}


def bits_of(subtype: str) -> int:
    """Bits of a sample of libsndfile's subtype; 0 where it is compressed and has no such number.

    Example:
        >>> [bits_of(subtype) for subtype in ("PCM_16", "PCM_U8", "DOUBLE", "VORBIS")]
        [16, 8, 64, 0]
    """
    lossless = LOSSLESS.fullmatch(subtype)
    return int(lossless[1]) if lossless else {"FLOAT": 32, "DOUBLE": 64}.get(subtype, 0)
