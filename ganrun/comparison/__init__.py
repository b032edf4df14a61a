"""Comparison of runs: grouped by settings, aggregated over seeds, with intervals and corrected differences."""
