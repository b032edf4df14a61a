"""Invertible networks with a tractable log-determinant, for ``method=flow``."""
