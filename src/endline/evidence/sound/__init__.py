"""Sound: reading recordings, their motions, noise floor and mel images."""
