"""Sound: recordings of motors with their motions and noise floor, and clips of running machines."""

STATIONS = ("machine_audio", "mirror_audio")
