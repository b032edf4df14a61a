"""Measurements of samples against real examples: values with intervals, floors and warnings, for ``ganrun eval``."""
