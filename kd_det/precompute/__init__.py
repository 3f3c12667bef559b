"""Computations before a run: class means, auto-encoders, loss weights."""
