"""Trainable maps of a student field to the teacher's shape."""
