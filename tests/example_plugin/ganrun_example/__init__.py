"""Options for ganrun. Importing this package registers them."""

from ganrun_example import architecture, dataset, loss, method, metric, penalty

__all__ = ["architecture", "dataset", "loss", "method", "metric", "penalty"]
