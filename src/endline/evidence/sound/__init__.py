"""Sound: reading recordings, their motions, noise floor and mel images."""

STATIONS = ("mirror_audio",)
