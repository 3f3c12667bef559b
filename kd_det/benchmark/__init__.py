"""Where the time and memory of a pair's training step go."""
