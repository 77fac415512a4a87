"""Metrics that count each sample once."""
