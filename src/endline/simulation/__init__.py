"""The embedded default data: physics-minded, seeded, and labelled as simulated everywhere."""
