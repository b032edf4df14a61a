"""A report on runs as one HTML file that needs neither Python nor a network."""
