"""Overrides that make every architecture as small as it goes."""

NARROW = {
    "mlp": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "maxout": ("architecture.generator_hidden=[8]", "architecture.discriminator_hidden=[8]"),
    "dcgan": ("architecture.width=4",),
    "resnet": ("architecture.width=4",),
    "r3gan": ("architecture.width=8",),
    "dirac": (),
    "mlp_vae": ("architecture.encoder_hidden=[8]", "architecture.decoder_hidden=[8]"),
    "realnvp": ("architecture.hidden=[8]", "architecture.width=4", "architecture.couplings=2"),
    "spline": ("architecture.hidden=[8]", "architecture.couplings=2", "architecture.bins=4"),
}
