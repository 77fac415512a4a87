"""A logger that keeps what it is given."""

from lightning.pytorch.loggers.logger import DummyLogger


class Recorder(DummyLogger):
    def __init__(self):
        super().__init__()
        self.rows = []

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def values(self, name):
        """Return the values of a metric by step."""
        return {step: row[name] for step, row in self.rows if name in row}

    def names(self):
        return {name for _, row in self.rows for name in row}
