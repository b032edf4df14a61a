"""Options for ganrun. Importing this package registers them."""

from ganrun_example import architecture, dataset, loss, penalty

__all__ = ["architecture", "dataset", "loss", "penalty"]
