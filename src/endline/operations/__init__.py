"""What happens around runs: sweeps, verdicts on new files, streams, the removal of old outputs."""
