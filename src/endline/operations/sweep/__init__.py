"""`kedro sweep`: grids of runs, one process each, and their tables."""
