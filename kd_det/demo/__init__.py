"""``kd_det demo``: what distillation does to a small detector, in minutes."""
