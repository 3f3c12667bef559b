"""``kd_det doctor``: check a training run before it starts."""
