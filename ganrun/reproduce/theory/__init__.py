"""The claims of the sources about the theory of GANs and about explicit models, as experiments."""
