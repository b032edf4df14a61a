"""Metrics of generative models from sets of samples: functions of feature arrays ``(n, d)``, NumPy and SciPy only.

Features are rows of numbers: the outputs of a network, or the flattened examples themselves.
"""
