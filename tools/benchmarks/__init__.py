"""What the benchmarks beside it share."""
