"""The bounds of a VAE, checked against linear-Gaussian models, whose likelihood and posterior are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from small_vae import begun, hparams, small

from ganrun.methods.single_loss import CLASSES
from ganrun.methods.vae import vae as module_of_vae


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


class LinearGaussian:
    """p(x|z) = N(W z + b, s² I) with z from N(0, I), and q(z|x) = N(V x + c, diag(v)), in double precision."""

    def __init__(self, w, b, s, v, c, variance):
        self.w, self.b, self.s, self.v, self.c, self.variance = w, b, s, v, c, variance
        d, k = w.shape
        self.method = small(shape=(d,), latents=k, hidden=(), importance_samples=7)
        encoder = {"kernel": np.concatenate([v.T, np.zeros((d, k))], 1), "bias": np.concatenate([c, np.log(variance)])}
        networks = {"encoder": {"Dense_0": encoder}, "decoder": {"Dense_0": {"kernel": w.T, "bias": b}}}
        params = {"networks": networks, "log_std": np.log(s)}
        self.variables = jax.tree.map(jnp.asarray, {"params": params, "batch_stats": {}})
        assert jax.tree.leaves(self.variables)[0].dtype == jnp.float64

    def log_p(self, x):
        return multivariate_normal(self.b, self.w @ self.w.T + self.s**2 * np.eye(len(self.b))).logpdf(x)

    def posterior(self, x):
        """The means ``(n, k)`` and the covariance ``(k, k)`` of p(z|x)."""
        covariance = np.linalg.inv(np.eye(self.w.shape[1]) + self.w.T @ self.w / self.s**2)
        return (x - self.b) @ self.w @ covariance / self.s**2, covariance

    def kl_to_posterior(self, x):
        """KL(q(z|x), p(z|x)) of two normal distributions, ``(n,)``."""
        means, covariance = self.posterior(x)
        precision, off = np.linalg.inv(covariance), x @ self.v.T + self.c - means
        fixed = np.trace(precision @ np.diag(self.variance)) - len(self.variance)
        fixed += np.linalg.slogdet(covariance)[1] - np.sum(np.log(self.variance))
        return 0.5 * (fixed + np.einsum("ni,ij,nj->n", off, precision, off))

    def elbo(self, x):
        """The ELBO: the expectation over the noise is exact, since log p(x|z) is quadratic in it.

        The mean of a quadratic function of normal noise is that over the points ±sqrt(k) e_i.
        """
        k = self.w.shape[1]
        points = np.sqrt(k) * np.concatenate([np.eye(k), -np.eye(k)])
        bounds = []
        for point in points:
            noise = jnp.broadcast_to(jnp.asarray(point), (1, len(x), k))
            terms, _ = self.method.terms(self.variables, jnp.asarray(x), noise)
            bounds.append(np.asarray(terms.reconstruction[0] - jnp.sum(terms.kl, axis=1)))
        return np.mean(bounds, axis=0)


def general():
    """W is arbitrary, so the posterior is not diagonal, and q has other means and variances."""
    rng = np.random.default_rng(0)
    w, b, s = rng.normal(size=(3, 2)), rng.normal(size=3), 0.6
    covariance = np.linalg.inv(np.eye(2) + w.T @ w / s**2)
    v = covariance @ w.T / s**2 + 0.1 * rng.normal(size=(2, 3))
    return LinearGaussian(w, b, s, v, -v @ b + 0.1, np.diag(covariance) * [1.5, 0.7])


def with_exact_posterior():
    """The columns of W are orthogonal, so the posterior is diagonal, and q is the posterior."""
    w = np.array([[1.0, 0.5], [1.0, -0.5], [0.0, 0.0]])
    b, s = np.array([0.1, -0.2, 0.3]), 0.7
    variance = 1.0 / (1.0 + np.sum(w**2, axis=0) / s**2)
    v = (variance[:, None] * w.T) / s**2
    return LinearGaussian(w, b, s, v, -v @ b, variance)


def drawn(model, n):
    """Examples ``(n, 3)`` of ``model``."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, 2)) @ model.w.T + model.b + model.s * rng.normal(size=(n, 3))


def test_the_gap_of_the_elbo_is_the_kl_from_the_posterior(double):
    """log p(x) - ELBO = KL(q(z|x), p(z|x)): Kingma & Welling 2014, "Auto-encoding variational Bayes", eq. 1."""
    model = general()
    x = drawn(model, 20)
    gap = model.log_p(x) - model.elbo(x)
    assert gap.min() > 0.02
    np.testing.assert_allclose(gap, model.kl_to_posterior(x), rtol=0, atol=1e-9)


def test_with_the_exact_posterior_the_elbo_is_the_log_density(double):
    model = with_exact_posterior()
    x = drawn(model, 20)
    means, covariance = model.posterior(x)
    np.testing.assert_allclose(covariance, np.diag(model.variance), atol=1e-12)
    np.testing.assert_allclose(x @ model.v.T + model.c, means, atol=1e-12)
    np.testing.assert_allclose(model.elbo(x), model.log_p(x), rtol=0, atol=1e-9)


def test_with_the_exact_posterior_every_importance_weight_is_the_density(double):
    model = with_exact_posterior()
    x = jnp.asarray(drawn(model, 5))
    mean, log_variance = model.method.module.apply(
        {"params": model.variables["params"]["networks"]}, x, False, method="encode"
    )
    for seed in range(3):
        noise = 2.0 * jax.random.normal(jax.random.key(seed), mean.shape)
        weights = model.method.log_weight(model.variables, x, mean, log_variance, noise)
        np.testing.assert_allclose(weights, model.log_p(x), rtol=0, atol=1e-9)
    for k in (1, 7):
        method = dataclasses.replace(model.method, importance_samples=k)
        bounds = method.log_density(model.variables, jax.random.key(0), x)
        assert set(bounds) == {"elbo", "iwae"} == {spec.name for spec in method.densities}
        for bound in bounds.values():
            np.testing.assert_allclose(bound, model.log_p(x), rtol=0, atol=1e-9)


def test_the_bound_of_importance_weighting_lies_between_the_elbo_and_the_log_density(double):
    model = general()
    x = drawn(model, 2_000)
    bounds = {}
    for k in (1, 5, 400):
        method = dataclasses.replace(model.method, importance_samples=k)
        found = method.log_density(model.variables, jax.random.key(3), jnp.asarray(x))
        assert np.all(np.asarray(found["elbo"] <= found["iwae"] + 1e-12))  # of the same draws, for every example
        bounds[k] = found
    exact, elbo = model.log_p(x).mean(), model.elbo(x).mean()
    assert float(np.mean(bounds[400]["elbo"])) == pytest.approx(elbo, abs=0.01)
    one, five, many = (float(np.mean(bound["iwae"])) for bound in bounds.values())
    assert one == pytest.approx(elbo, abs=0.1)
    assert elbo + 0.1 < five < many < exact + 1e-3
    assert many == pytest.approx(exact, abs=0.02)


FREQUENCIES = np.array([0.2, 0.5, 0.3])


class Classes:
    """Three linear-Gaussian models that differ in their means, as one class-conditional model whose q is exact."""

    def __init__(self):
        one = with_exact_posterior()
        d, k = one.w.shape
        rng = np.random.default_rng(4)
        embedding, kernel = rng.normal(size=(3, k)), 0.6 * rng.normal(size=(k, d))
        self.shifts = embedding @ kernel
        self.each = [
            LinearGaussian(one.w, one.b + b, one.s, one.v, one.c - one.v @ b, one.variance) for b in self.shifts
        ]
        self.method = small(shape=(d,), latents=k, hidden=(), classes=3, objective="iwae")
        self.variables = jax.tree.map(jnp.asarray, one.variables | {"batch_stats": {CLASSES: FREQUENCIES}})
        encoder, decoder = (self.variables["params"]["networks"][name]["Dense_0"] for name in ("encoder", "decoder"))
        of_mean = np.concatenate([-self.shifts @ one.v.T, np.zeros((3, k))], 1)
        encoder["kernel"] = jnp.concatenate([encoder["kernel"], of_mean])
        decoder["kernel"] = jnp.concatenate([decoder["kernel"], kernel])
        networks = self.variables["params"]["networks"]
        networks["decoder"]["Embedding_0"] = {"embedding": jnp.asarray(embedding)}

    def log_p(self, x):
        """log p(x|y) of each class, ``(3, n)``."""
        return np.stack([model.log_p(x) for model in self.each])


def test_the_loss_of_a_class_conditional_model_is_the_negative_log_density_given_the_classes(double):
    model, y = Classes(), np.array([2, 0, 1, 1])
    x = drawn(model.each[0], 4)
    value, _ = model.method.loss(model.variables, jnp.asarray(x), jnp.asarray(y), jax.random.key(0), hparams())
    assert float(value) == pytest.approx(-model.log_p(x)[y, np.arange(4)].mean(), abs=1e-9)


def test_the_bounds_of_a_class_conditional_model_are_those_of_the_mixture_of_its_classes(double):
    model = Classes()
    x = np.concatenate([drawn(one, 5) for one in model.each])
    found = model.method.log_density(model.variables, jax.random.key(0), jnp.asarray(x))
    wanted = np.log(FREQUENCIES @ np.exp(model.log_p(x)))
    for bound in found.values():
        np.testing.assert_allclose(bound, wanted, rtol=0, atol=1e-9)


def test_samples_of_a_class_are_those_of_its_distribution_and_classes_come_with_their_frequencies(double):
    model, n = Classes(), 4000
    numbers, error = hparams() | {CLASSES: jnp.asarray(FREQUENCIES)}, 5 * np.sqrt(2.0 / n)
    for label, one in enumerate(model.each):
        x = model.method.sample(model.variables, numbers, jax.random.key(1), n, jnp.full(n, label))
        np.testing.assert_allclose(np.mean(x, axis=0), one.b, atol=error)
    x = model.method.sample(model.variables, numbers, jax.random.key(1), n)
    np.testing.assert_allclose(np.mean(x, axis=0), FREQUENCIES @ [one.b for one in model.each], atol=error)
    z, y = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2))), jnp.arange(3)
    decoded = [np.asarray(z)[i] @ one.w.T + one.b for i, one in enumerate(model.each)]
    np.testing.assert_allclose(model.method.decode(model.variables, z, y), decoded, atol=1e-12)
    assert "encode" not in model.method.capabilities


def test_the_importance_samples_are_those_of_their_number_however_many_are_decoded_at_once(monkeypatch):
    method = small("bernoulli", (2, 2, 1))
    variables = method.variables(begun(method, (2, 2, 1)))
    x = jnp.linspace(-1.0, 1.0, 12).reshape(3, 2, 2, 1)
    found = method.log_density(variables, jax.random.key(0), x)
    monkeypatch.setattr(module_of_vae, "AT_ONCE", 1)
    again = method.log_density(variables, jax.random.key(0), x)
    for name, bound in found.items():
        np.testing.assert_allclose(bound, again[name], rtol=1e-6)
    assert not np.allclose(found["elbo"], method.log_density(variables, jax.random.key(1), x)["elbo"])
