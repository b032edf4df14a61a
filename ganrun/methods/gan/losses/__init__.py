"""The losses that both networks minimise, as functions of the discriminator's output.

D(x) = sigmoid(logit) is the discriminator's probability that x is data. Hence log D = log_sigmoid(logit) and
log(1 - D) = log_sigmoid(-logit), which stay finite where log(sigmoid(x)) does not.

Each loss has two functions: ``discriminator(real_logits, fake_logits, hparams)`` and
``generator(real_logits, fake_logits, hparams)``. Logits have shape ``(batch,)``. The result is a scalar to minimise, in
nats if the logits are log odds. ``hparams`` holds the loss's traced hyperparameters by name. The generator update of
Algorithm 1 draws no data, so its ``real_logits`` are None unless the loss sets ``generator_sees_data``. Some losses use
features or several outputs per example instead of logits: see :class:`Loss`.
"""

from ganrun.methods.gan.losses.base import LOG_2, LOG_4, Hparams, Loss, game_value, mean_exp, output_metrics, pair_value
from ganrun.methods.gan.losses.critics import Cramer, Hinge, LeastSquares, Wasserstein
from ganrun.methods.gan.losses.cross_entropy import (
    CrossEntropyGame,
    Logistic,
    MaximumLikelihood,
    Minimax,
    NonSaturating,
)
from ganrun.methods.gan.losses.features import FeatureMatching
from ganrun.methods.gan.losses.fgan import FGan
from ganrun.methods.gan.losses.relativistic import Relativistic, RelativisticAverage

__all__ = [
    "LOG_2",
    "LOG_4",
    "Cramer",
    "CrossEntropyGame",
    "FGan",
    "FeatureMatching",
    "Hinge",
    "Hparams",
    "LeastSquares",
    "Logistic",
    "Loss",
    "MaximumLikelihood",
    "Minimax",
    "NonSaturating",
    "Relativistic",
    "RelativisticAverage",
    "Wasserstein",
    "game_value",
    "mean_exp",
    "output_metrics",
    "pair_value",
]
