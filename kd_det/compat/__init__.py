"""One module per foreign wound; nothing else in kd_det patches anything."""
