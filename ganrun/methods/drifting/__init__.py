"""Drifting: a generator without a discriminator, trained on the field that moves its samples towards the data."""
