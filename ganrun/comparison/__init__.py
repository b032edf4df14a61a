"""Runs beside each other: grouped by what differs, aggregated over seeds, with intervals and corrected differences."""
