"""Distillation objectives: pure functions and the thin modules around them."""
