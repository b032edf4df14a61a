"""Between latents and examples: ways through the latent space, and from an example back to its latent.

A GAN defines samples and no inference. A latent can be found by descent (:mod:`~ganrun.inference.projection`) or by an
encoder that was trained with the generator.
"""

from ganrun.inference.agreement import latent_error

__all__ = ["latent_error"]
