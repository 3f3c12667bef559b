"""What happens around training: hooks, schedules, the tools' work."""
