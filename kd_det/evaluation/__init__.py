"""Evaluation: metrics, stored predictions, plain libraries."""
