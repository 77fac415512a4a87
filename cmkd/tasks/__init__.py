"""Tasks: loss, metrics and what to monitor."""
