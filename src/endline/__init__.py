"""End-of-line inspection that learns from good parts only."""
