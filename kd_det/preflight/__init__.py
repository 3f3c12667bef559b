"""Checks before a run, so that errors stop it before its first step."""
