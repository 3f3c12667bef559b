"""Functions for users: training, testing, export, self-distillation."""
