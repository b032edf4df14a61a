"""Other names of options, with the words that choose them."""

from __future__ import annotations

AUTOREGRESSIVE = ("fvsbn", "made", "pixelcnn")
FLOWS = ("realnvp", "spline")

SYNONYMS: dict[str, dict[str, str]] = {
    "method": {
        **dict.fromkeys(("boltzmann", "restricted_boltzmann_machine", "harmonium", "cd", "pcd"), "method=rbm"),
        **dict.fromkeys(("deep_boltzmann", "deep_boltzmann_machine"), "method=dbm"),
        **dict.fromkeys(("nice", "normalizing_flow", "normalising_flow", "nf", "nsf"), "method=flow"),
        **{name: f"method=flow architecture={name}" for name in FLOWS},
        **dict.fromkeys(("ar", "fvbn", "nade", "pixelrnn", "pixelcnn++"), "method=autoregressive"),
        **{name: f"method=autoregressive architecture={name}" for name in AUTOREGRESSIVE},
        **dict.fromkeys(("variational_autoencoder", "autoencoder"), "method=vae"),
        "iwae": "method=vae method.objective=iwae",
        **dict.fromkeys(("bigan", "ali"), "method=gan inference=bigan"),
        **dict.fromkeys(("wgan", "wgan_gp"), "method=gan loss=wasserstein"),
        **dict.fromkeys(("walkback", "denoising_autoencoder", "dae"), "method=gsn"),
    },
    "loss": {
        **dict.fromkeys(("heuristic", "non_saturating", "bce", "cross_entropy"), "loss=nonsaturating"),
        **dict.fromkeys(("saturating", "zero_sum", "vanilla"), "loss=minimax"),
        **dict.fromkeys(("lsgan", "mse", "l2"), "loss=least_squares"),
        **dict.fromkeys(("wgan", "emd", "w1"), "loss=wasserstein"),
        **dict.fromkeys(("mle", "ml", "kl"), "loss=maximum_likelihood"),
        **dict.fromkeys(("rgan", "rsgan", "rpgan"), "loss=relativistic"),
        **dict.fromkeys(("ragan", "rasgan"), "loss=relativistic_average"),
    },
    "penalty": {
        **dict.fromkeys(("gp", "wgan_gp"), "penalty=gradient_penalty"),
        **dict.fromkeys(("sn", "spectral_norm", "sngan"), "penalty=spectral_normalisation"),
        **dict.fromkeys(("clip", "clipping"), "penalty=weight_clipping"),
    },
    "architecture": {
        **dict.fromkeys(("nice", "real_nvp"), "architecture=realnvp"),
        "nsf": "architecture=spline",
        **dict.fromkeys(("dense", "fully_connected"), "architecture=mlp"),
    },
    "dataset": {
        **dict.fromkeys(("circle", "8gaussians", "gaussians", "mog"), "dataset=ring"),
        **dict.fromkeys(("images", "directory"), "dataset=folder"),
    },
}


def meant(group: str, name: str) -> str:
    """Return `` Did you mean method=rbm?`` for another name of an option of ``group``; empty if it is none."""
    words = SYNONYMS.get(group, {}).get(name.lower().replace("-", "_"))
    return f" Did you mean {words}?" if words else ""
