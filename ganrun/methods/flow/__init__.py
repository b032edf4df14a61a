"""Normalizing flows: nonlinear independent components with the density by the change of variables."""
