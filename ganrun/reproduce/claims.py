"""The testable claims of the sources, by number, and the correct statement where a source is wrong."""

from __future__ import annotations

from typing import NamedTuple

# The sources: five course texts on generative models.
SOURCES = {
    "S0": "course text on generative models: explicit and implicit densities",
    "S1": "course text on the theory of GANs",
    "S2": "course text on training objectives and Wasserstein distances",
    "S3": "summary of Goodfellow et al. 2014 and its questions",
    "S4": "course text on variational and adversarial models",
}


class Claim(NamedTuple):
    """A claim.

    Attributes:
        source: the texts that make it.
        statement: what they claim.
        correct: the correct statement, if what they print is wrong.
    """

    source: str
    statement: str
    correct: str = ""


CLAIMS = {
    1: Claim("S1, S3", "The optimal discriminator is p / (p + q)."),
    2: Claim("S1, S3", "V(D*, G) = −log 4 + 2 JSD."),
    3: Claim("S1, S3", "The minimum of max V over G is −log 4, reached only if the model equals the data."),
    4: Claim(
        "S1",
        "The Jensen-Shannon divergence of distributions with disjoint supports is 0 everywhere.",
        "It is log 2: every region that only one of them reaches contributes half of its mass times log 2.",
    ),
    5: Claim("S1, S2, S3", "The saturating gradient vanishes where D rejects samples; that of −log D does not."),
    6: Claim("S1", "On low-dimensional manifolds a trained D makes the saturating gradient vanish."),
    7: Claim(
        "S1, S3",
        "The non-saturating loss has the same fixed point as the minimax loss.",
        "Only if the data can be represented: otherwise each loss has a fixed point of its own.",
    ),
    8: Claim(
        "S1",
        "The gradient of −log D at the optimal D is that of KL(data, model) − 2 JSD (eq. 42).",
        "The arguments are reversed: it is the gradient of KL(model, data) − 2 JSD.",
    ),
    9: Claim("S1, S3", "k discriminator updates per step keep D near its optimum."),
    10: Claim(
        "S0, S1",
        "KL(data, model) drops modes (S1).",
        "KL(data, model) covers modes, and KL(model, data) seeks one of them (S0).",
    ),
    11: Claim("S0, S1, S2", "The generator loss −E exp(logit D) is maximum likelihood at the optimal D."),
    12: Claim(
        "S1",
        "The shape of the noise prior does not matter.",
        "It matters in the tails: a Lipschitz generator maps a bounded prior to bounded samples.",
    ),
    13: Claim("S1", "A generator step may increase the Jensen-Shannon divergence."),
    14: Claim("S1", "The best of three generators is the one with the smallest max V over D."),
    15: Claim("S1", "Gradient descent on the model's probabilities with the optimal D converges to the data."),
    16: Claim("S2", "The Wasserstein distance stays informative where the Jensen-Shannon divergence is constant."),
    17: Claim("S2", "Sample gradients of the Wasserstein distance are biased; those of the Cramér distance are not."),
    18: Claim("S3", "Too many generator updates per discriminator update collapse the generator (Helvetica scenario)."),
    19: Claim("S1, S3", "Training D to completion on finite data overfits."),
    20: Claim("S3", "A generator with fewer latents than dimensions is degenerate."),
    21: Claim("S0, S4", "Fully visible belief networks sample one element at a time; their likelihood is one pass."),
    22: Claim("S0, S4", "The ELBO is a lower bound; its gap is KL(q(z|x), p(z|x))."),
    23: Claim("S0", "Boltzmann machines and generative stochastic networks need Markov chains, which mix slowly."),
    24: Claim("S0", "Nonlinear ICA needs an invertible generator with as many latents as dimensions."),
    25: Claim("S0, S3", "A GAN cannot be trained through discrete output."),
    26: Claim("S3", "Latents can be inferred by changing the model."),
    27: Claim("S0, S2, S4", "Gradient descent may miss the Nash equilibrium."),
}

# Mistakes in the sources that no experiment needs to refute: they contradict themselves or standard definitions.
MISTAKES = (
    ("S1, eq. 42", "log(−D)", "−log D"),
    ("S1, eqs. 1 and 2", "updates without a step size", "θ ← θ − η ∇V"),
    ("S1", "V is convex in the generator's parameters", "V is linear in the model's density, and not convex in θ"),
    ("S2", "J without a logarithm", "J = E log D(x) + E log(1 − D(G(z)))"),
    ("S2", "argmin argmax", "min over G of max over D"),
    ("S2", "G sees the data", "G sees the data only through D"),
    ("S4", "the ELBO bounds p(x)", "the ELBO bounds log p(x)"),
    ("S0", "the non-negative constant changes the minimum", "a constant does not change where the minimum is"),
    ("S0", "explicit models give worse samples", "outdated: see rivals.md"),
    ("S3", "VAEs cannot have discrete latents", "they can, with estimators of the gradient that are known today"),
)
