"""``kd_det doctor``: what a training will do, looked at before it starts."""
