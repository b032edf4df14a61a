"""Latent space tools: interpolation, walks, and projection of examples to latents.

A GAN has no inference network by itself. The latent of an example can be found by gradient descent
(:mod:`~ganrun.latent_space.projection`) or by an encoder that was trained with the generator.
"""

from ganrun.latent_space.agreement import latent_error

__all__ = ["latent_error"]
