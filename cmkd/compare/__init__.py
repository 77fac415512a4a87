"""``cmkd compare``: methods x seeds x folds from one YAML, tuned alike, in one table."""
