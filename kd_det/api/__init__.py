"""What a user calls: training, testing, export, self-distillation."""
