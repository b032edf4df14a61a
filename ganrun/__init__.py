"""ganrun: a command-line experiment runner for generative adversarial networks in JAX."""

from __future__ import annotations

__version__ = "0.1.0"
