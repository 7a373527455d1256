"""Rates at which the simulated robot can be recorded."""

from endline.errors import EndlineError

FULL_RATE = 500  # Hz: of the physics


def check_rate(rate: int) -> None:
    """Refuse a rate in samples a second that does not divide the full one.

    Raises:
        EndlineError: naming the rates that can be had.

    Example:
        >>> check_rate(100)
    """
    if not 50 <= rate <= FULL_RATE or FULL_RATE % rate:
        raise EndlineError(f"The simulation's rate is {rate}; give 50, 100, 125, 250 or 500 samples a second.")
