"""Overrides that make every architecture, and every method without one, as small as it goes."""

NARROW = {
    "mlp": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "maxout": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "dcgan": ("architecture.width=4",),
    "resnet": ("architecture.width=4",),
    "r3gan": ("architecture.width=8",),
    "dirac": (),
    "mlp_vae": ("architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]"),
    "mlp_denoiser": ("architecture.hidden=[8]",),
}

# Those of methods without an architecture.
METHODS = {"rbm": ("method.hidden=4", "method.sample_steps=8", "method.ais_chains=2", "method.ais_steps=2")}


def narrow(config):
    """The overrides for ``config``."""
    return METHODS[config.method.name] if config.architecture is None else NARROW[config.architecture.name]
