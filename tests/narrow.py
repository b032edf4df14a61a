"""Overrides that make every architecture as small as it goes, and the methods of those that are not for GANs."""

NARROW = {
    "mlp": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "maxout": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "dcgan": ("architecture.width=4",),
    "resnet": ("architecture.width=4",),
    "r3gan": ("architecture.width=8",),
    "dirac": (),
    "conv_vae": ("architecture.width=4", "architecture.hidden=8"),
    "mlp_vae": ("architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]"),
}
METHOD = {"conv_vae": ("method=vae",), "mlp_vae": ("method=vae",)}
