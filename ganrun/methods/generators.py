"""What methods whose samples are a function of latents share."""

from __future__ import annotations

import math
from typing import Any

from ganrun.architectures.maxout import MaxoutGenerator
from ganrun.architectures.mlp import MlpGenerator


def rank_of(generator: Any, latent_dim: int, shape: tuple[int, ...]) -> int:
    """Return an upper bound on the dimension of the set of samples: the width of the generator's narrowest layer."""
    hidden = generator.hidden if isinstance(generator, (MlpGenerator, MaxoutGenerator)) else ()
    return min(latent_dim, *hidden, math.prod(int(size) for size in shape))
