"""Overrides that make every architecture as small as it goes, and the methods of those that are not for GANs."""

NARROW = {
    "mlp": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "maxout": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "dcgan": ("architecture.width=4",),
    "resnet": ("architecture.width=4",),
    "r3gan": ("architecture.width=8",),
    "dirac": (),
    "fvsbn": (),
    "made": ("architecture.hidden=[8]",),
    "pixelcnn": ("architecture.features=4", "architecture.layers=1"),
    "conv_vae": ("architecture.width=4", "architecture.hidden=8"),
    "mlp_vae": ("architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]"),
    "realnvp": ("architecture.hidden=[8]", "architecture.width=4", "architecture.couplings=2"),
    "spline": ("architecture.hidden=[8]", "architecture.couplings=2", "architecture.bins=4"),
}

# The method of every architecture that has no networks of a GAN.
METHODS = {
    "fvsbn": "autoregressive",
    "made": "autoregressive",
    "pixelcnn": "autoregressive",
    "conv_vae": "vae",
    "realnvp": "flow",
    "spline": "flow",
    "mlp_vae": "vae",
}
