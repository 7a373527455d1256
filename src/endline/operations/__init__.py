"""What happens around runs: sweeps."""
