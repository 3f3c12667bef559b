"""``kd_det demo``: distil a small detector in minutes."""
