"""Overrides that make every architecture, and every method without one, as small as it goes."""

NARROW = {
    "mlp": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "maxout": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "dcgan": ("architecture.width=4",),
    "resnet": ("architecture.width=4",),
    "r3gan": ("architecture.width=8",),
    "r3gan2": ("architecture.width=8",),
    "dirac": (),
    "fvsbn": (),
    "made": ("architecture.hidden=[8]",),
    "pixelcnn": ("architecture.features=4", "architecture.layers=1"),
    "conv_vae": ("architecture.width=4", "architecture.hidden=8"),
    "mlp_vae": ("architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]"),
    "mlp_denoiser": ("architecture.hidden=[8]",),
    "realnvp": ("architecture.hidden=[8]", "architecture.width=4", "architecture.couplings=2"),
    "spline": ("architecture.hidden=[8]", "architecture.couplings=2", "architecture.bins=4"),
}

# The method of every architecture that has no networks of a GAN.
METHODS = {
    "fvsbn": "autoregressive",
    "made": "autoregressive",
    "pixelcnn": "autoregressive",
    "conv_vae": "vae",
    "mlp_denoiser": "gsn",
    "realnvp": "flow",
    "spline": "flow",
    "mlp_vae": "vae",
}

# Those of methods without an architecture.
SHORT = ("method.sample_steps=8", "method.ais_chains=2", "method.ais_steps=2")
WITHOUT = {"rbm": ("method.hidden=4", *SHORT), "dbm": ("method.hidden=[4,3]", *SHORT)}


def narrow(config):
    """The overrides for ``config``."""
    return WITHOUT[config.method.name] if config.architecture is None else NARROW[config.architecture.name]
