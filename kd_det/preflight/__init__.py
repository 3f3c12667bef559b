"""What is checked before a run, so that it stops before its first step."""
