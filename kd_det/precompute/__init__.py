"""What is computed before a run: class means, auto-encoders, weights."""
