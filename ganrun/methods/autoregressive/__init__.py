"""Autoregressive models: fully visible belief networks."""
