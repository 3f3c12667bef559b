"""Compatibility patches for other packages, one module per issue."""
