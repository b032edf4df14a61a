"""What each player minimises, as functions of the discriminator's output.

D(x) = sigmoid(logit) is the probability that the discriminator gives to "x is data". With that,
log D = log_sigmoid(logit) and log(1 - D) = log_sigmoid(-logit), which stay finite where log(sigmoid(x)) does not.

Each loss is a pair: ``discriminator(real_logits, fake_logits, numbers)`` and
``generator(real_logits, fake_logits, numbers)``. Logits have shape ``(batch,)``, the result is a scalar to minimise, in
nats where logits are log odds, and ``numbers`` holds the loss's traced parameters by name. The generator's step of
Algorithm 1 draws no data, so its ``real_logits`` are None, unless the loss says ``generator_sees_data``. Losses that
work on more numbers per example say so: see :class:`Loss`.
"""

from ganrun.game.losses.base import LOG_2, LOG_4, Loss, Numbers, game_value, mean_exp, pair_value, readings
from ganrun.game.losses.critics import Cramer, Hinge, LeastSquares, Wasserstein
from ganrun.game.losses.cross_entropy import CrossEntropyGame, Logistic, MaximumLikelihood, Minimax, NonSaturating
from ganrun.game.losses.features import FeatureMatching
from ganrun.game.losses.fgan import FGan
from ganrun.game.losses.relativistic import Relativistic, RelativisticAverage

__all__ = [
    "LOG_2",
    "LOG_4",
    "Cramer",
    "CrossEntropyGame",
    "FGan",
    "FeatureMatching",
    "Hinge",
    "LeastSquares",
    "Logistic",
    "Loss",
    "MaximumLikelihood",
    "Minimax",
    "NonSaturating",
    "Numbers",
    "Relativistic",
    "RelativisticAverage",
    "Wasserstein",
    "game_value",
    "mean_exp",
    "pair_value",
    "readings",
]
