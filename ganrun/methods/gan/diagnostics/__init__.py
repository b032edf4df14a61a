"""Detects training failures of a GAN from its logged metrics and reports them during training."""
