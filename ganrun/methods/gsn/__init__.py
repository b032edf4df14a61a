"""The generative stochastic network."""
