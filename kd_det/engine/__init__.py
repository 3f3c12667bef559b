"""What runs in a training loop: hooks, schedules, optimisers, resume."""
