"""The three forms of R1 and R2, and data and samples that pass through the discriminator as one batch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_algorithm import PAPER_GAME, Counting, a, create, mean, one_step, paper_numbers
from test_penalties import Score, match

from ganrun.architectures.maxout import MaxoutNetworks
from ganrun.architectures.mlp import Mlp
from ganrun.architectures.r3gan import R3gan
from ganrun.config.hydra_bridge import compose
from ganrun.config.registry import static, traced
from ganrun.config.schema import check
from ganrun.errors import ConfigError
from ganrun.keys import key_for
from ganrun.methods.gan.batch import Batch, NetworkInput
from ganrun.methods.gan.losses.relativistic import Relativistic
from ganrun.methods.gan.networks import pack
from ganrun.methods.gan.penalties.gradients import R1, R2, GradientPenalty
from ganrun.methods.gan.spec import gan_spec
from ganrun.methods.gan.state import Player

N = 6


# --- by hand ---


def played(penalties, k=2, steps=1):
    """The states of the paper game with ``penalties``, whose discriminator a x looks at one number at a time."""
    spec = dataclasses.replace(PAPER_GAME, loss=Score(), by_example=True, penalties=tuple(map(static, penalties)))
    hparams = paper_numbers(k=k)
    hparams["penalty"] = jax.tree.map(jnp.float32, {one.name: traced(one) for one in penalties})
    states = [create(spec, hparams, jnp.uint32(0), jnp.zeros((1, 1)))]
    for _ in range(steps):
        states.append(one_step(spec, states[-1], Counting()))
    return states, spec


@pytest.mark.parametrize("form", ["exact", "fused"])
def test_the_forms_of_a_linear_discriminator_by_hand(form):
    # As in test_penalties.py: a goes from 1.5 by 5.5 minus γ a for each penalty.
    for penalties, slope in (
        ([R1(weight=0.5, gradient=form)], 5.5 - 0.75),
        ([R2(weight=0.5, gradient=form)], 5.5 - 0.75),
        ([R1(weight=0.5, gradient=form), R2(weight=0.1, gradient=form)], 5.5 - 0.75 - 0.15),
    ):
        states, spec = played(penalties)
        assert a(states[1]) == pytest.approx(1.5 + slope, rel=1e-5)
        assert mean(states[1], f"penalty/{penalties[0].name}", spec) == pytest.approx(
            0.25 * penalties[0].weight / 0.5 * 2.25, rel=1e-5
        )


@pytest.mark.parametrize(("every", "k", "wanted"), [(2, 2, 7.0), (2, 3, 9.5), (3, 3, 16.5)])
def test_a_lazy_fused_penalty_by_hand(every, k, wanted):
    # In update 2 at a = 7, twice γ a is 7 for γ = 0.5; halved here for each of the two penalties.
    lazy = {"weight": 0.25, "every": every, "gradient": "fused"}
    states, _ = played([R1(**lazy), R2(**lazy)], k=k)
    assert a(states[1]) == pytest.approx(wanted, rel=1e-5)


def test_penalties_of_different_forms_add_up():
    states, _ = played([R1(weight=0.5, gradient="fused"), R2(weight=0.1), GradientPenalty(weight=0.5)])
    assert a(states[1]) == pytest.approx(7 - 0.75 - 0.15 - 0.5, rel=1e-5)


def test_an_approximate_penalty_of_a_linear_discriminator_by_hand():
    # (a (x + h u) - a x)² / h² = a² u², whatever h is: the push is γ a times the mean of the four u².
    states, _ = played([R1(weight=0.5, gradient="approximate", step=0.25)])
    update = key_for(key_for(key_for(states[0].key, "step", 0), "discriminator update", 1), "penalty", 0)
    squares = jax.random.normal(key_for(update, "direction of x"), (4, 1)) ** 2
    assert a(states[1]) == pytest.approx(7 - 0.75 * float(jnp.mean(squares)), rel=1e-4)


def test_a_lazy_approximate_penalty_is_due_when_an_exact_one_is():
    states, _ = played([R1(weight=0.5, gradient="approximate", every=2)], k=2)
    assert a(states[1]) == pytest.approx(7.0, rel=1e-5)  # due at a = 0 only, where it is flat
    states, _ = played([R1(weight=0.5, gradient="approximate", every=2)], k=3)
    assert a(states[1]) < 16.4


def moments(found):
    found = np.asarray(found, np.float64)
    return found.mean(), found.std() / np.sqrt(len(found))


def approximate(critic, rows, penalty, conditioning=None):
    """Twice the term of ``penalty`` of weight 1 for each row by itself."""
    conditioning = conditioning or {}
    scores = critic(rows, conditioning, None)
    inputs = match(critic, rows, rows, conditioning, real_scores=scores, fake_scores=scores)
    return penalty._squared_norms(inputs, {"step": jnp.float32(penalty.step)})


@pytest.mark.parametrize("kind", [R1, R2])
@pytest.mark.parametrize("step", [0.5, 0.1])
def test_the_bias_of_the_approximation_for_a_quadratic_critic_by_hand(kind, step):
    # x² at 1: (2 u + h u²)² has the mean 4 + 3 h², because E u³ = 0 and E u⁴ = 3.
    rows = jnp.ones((200_000, 1))
    found, error = moments(approximate(lambda x, c, key: x[:, 0] ** 2, rows, kind(gradient="approximate", step=step)))
    assert abs(found - (4 + 3 * step**2)) < 5 * error
    assert error < 0.03


def test_the_approximation_moves_a_latent_too_and_no_label():
    # 3 x + 4 z + 100 y: the squared gradient norm by (x, z) is 25.
    rows = jnp.zeros((100_000, 1))
    conditioning = {"z": jnp.zeros((100_000, 1)), "y": jnp.ones(100_000, jnp.int32)}
    found, error = moments(
        approximate(
            lambda x, c, key: 3 * x[:, 0] + 4 * c["z"][:, 0] + 100 * c["y"],
            rows,
            R1(gradient="approximate", step=0.5),
            conditioning,
        )
    )
    assert abs(found - 25) < 5 * error < 1.0


# --- against exact, with networks ---


def data_of(spec, classes=0, latents=0, packing=1):
    def inputs(seed):
        keys = [jax.random.key(seed + i) for i in range(3)]
        conditioning = {"y": jax.random.randint(keys[1], (N,), 0, classes)} if classes else {}
        conditioning |= {"z": jax.random.normal(keys[2], (N, latents))} if latents else {}
        return NetworkInput(pack(jax.random.normal(keys[0], (N * packing, 2)), packing), conditioning)

    real, fake = inputs(0), inputs(10)
    params = spec.discriminator.init(jax.random.key(5), real.x, train=False, **real.conditioning)["params"]
    # Biases, and the last layers of residual branches, are zero at first.
    moved = [
        leaf + 0.2 * jax.random.normal(jax.random.key(i), leaf.shape) for i, leaf in enumerate(jax.tree.leaves(params))
    ]
    return real, fake, jax.tree.unflatten(jax.tree.structure(params), moved)


def total(spec, real, fake):
    """The discriminator's loss with penalties, as a function of its parameters and the weights."""

    def value(params, hparams):
        nothing = [None] * 5
        batch = Batch(spec, {"loss": {}, "penalty": hparams}, jnp.float32(0), *nothing, jax.random.key(7))
        loss, outputs = batch.discriminator_loss(params, {}, real, fake)
        player = Player(params=params, stats={}, optimizer=(), updates=jnp.zeros((), jnp.int32))
        terms = batch.terms(player, {}, real, fake, outputs, {})
        return sum(terms.values(), start=loss), terms

    return value


MLP = Mlp(discriminator_hidden=(16, 16)).build((2,), 2).discriminator
CONDITIONAL = Mlp(discriminator_hidden=(16, 16)).build((2,), 2, 3).discriminator
MAXOUT = MaxoutNetworks(discriminator_hidden=(8, 8), pieces=2, dropout=0.0, input_dropout=0.0)
RESIDUAL = R3gan(width=8, depth=2)


@pytest.mark.parametrize(
    ("network", "data"),
    [
        (MLP, {}),
        (MAXOUT.build((2,), 2).discriminator, {"latents": 3}),
        (RESIDUAL.build((2,), 2).discriminator, {}),
        (CONDITIONAL, {"classes": 3}),
        (MLP, {"latents": 4}),
        (MLP, {"packing": 2}),
    ],
    ids=["mlp", "maxout", "r3gan", "labels", "latents", "packed"],
)
@pytest.mark.parametrize("names", [("r1", "r2"), ("r1",), ("r2",)], ids="+".join)
def test_fused_equals_exact(network, data, names):
    kinds = {"r1": R1, "r2": R2}
    results = []
    for form in ("exact", "fused"):
        penalties = tuple(kinds[name](weight=2.0, gradient=form) for name in names)
        spec = dataclasses.replace(
            PAPER_GAME,
            discriminator=network,
            loss=Relativistic(),
            penalties=tuple(map(static, penalties)),
            by_example=True,
        )
        real, fake, params = data_of(spec, **data)
        hparams = {penalty.name: traced(penalty) for penalty in penalties}
        results.append(jax.value_and_grad(total(spec, real, fake), has_aux=True)(params, hparams))
    ((exact, exact_terms), exact_gradient), ((fused, fused_terms), fused_gradient) = results
    assert float(fused) == pytest.approx(float(exact), rel=1e-6)
    for name in names:
        assert float(exact_terms[name]) > 1e-3
        assert float(fused_terms[name]) == pytest.approx(float(exact_terms[name]), rel=1e-6)
    difference = jax.tree.map(jnp.subtract, exact_gradient, fused_gradient)
    size = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(exact_gradient)) ** 0.5
    assert sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(difference)) ** 0.5 < 1e-6 * size


@dataclasses.dataclass(frozen=True)
class OneSided(Score):
    """Some rows have no weight at all in the loss, as in the hinge loss, and others next to none."""

    def discriminator(self, real_logits, fake_logits, hparams):
        small = jnp.array([0.0, 0.0, 1.0, 1e-30, -1e-12, 1.0])
        return jnp.mean(small * fake_logits) - jnp.mean(small[::-1] * real_logits)


def test_fused_equals_exact_where_the_loss_ignores_an_example():
    gradients = []
    for form in ("exact", "fused"):
        penalties = (R1(weight=2.0, gradient=form), R2(weight=2.0, gradient=form))
        spec = dataclasses.replace(
            PAPER_GAME, discriminator=MLP, loss=OneSided(), penalties=tuple(map(static, penalties)), by_example=True
        )
        real, fake, params = data_of(spec)
        hparams = {penalty.name: traced(penalty) for penalty in penalties}
        gradients.append(jax.grad(total(spec, real, fake), has_aux=True)(params, hparams)[0])
    for exact, fused in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(fused, exact, rtol=1e-4, atol=2e-6 * float(jnp.abs(exact).max() + 0.1))


@pytest.mark.parametrize("form", ["fused", "approximate"])
def test_members_of_a_population_have_their_own_weights(form):
    penalties = (static(R1(gradient=form)), static(R2(gradient=form)))
    spec = dataclasses.replace(PAPER_GAME, discriminator=MLP, loss=Relativistic(), penalties=penalties, by_example=True)
    real, fake, params = data_of(spec)
    gradient = jax.grad(total(spec, real, fake), has_aux=True)

    def hparams(weight):
        return {
            name: traced(kind(weight=1.0, step=0.5)) | {"weight": weight} for name, kind in (("r1", R1), ("r2", R2))
        }

    weights = jnp.array([0.0, 1.0, 3.0])
    together, _ = jax.vmap(lambda weight: gradient(params, hparams(weight)))(weights)
    for i, weight in enumerate(weights):
        alone, _ = gradient(params, hparams(weight))
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
            np.testing.assert_allclose(one, other[i], rtol=1e-4, atol=1e-6)


# --- one batch ---


def test_data_and_samples_pass_together_only_where_that_changes_nothing_and_costs_no_pass():
    def joined(*penalties, by_example=True):
        return dataclasses.replace(PAPER_GAME, penalties=penalties, by_example=by_example).joined

    assert joined() and joined(GradientPenalty()) and joined(R1(gradient="approximate"))
    assert not joined(by_example=False)
    # The pass of an exact penalty is that of the loss on data alone.
    assert not joined(R1()) and not joined(R1(gradient="approximate"), R2())


@pytest.mark.parametrize("data", [{}, {"classes": 3}, {"packing": 2}], ids=["plain", "labels", "packed"])
def test_outputs_of_one_batch_are_those_of_two(data):
    network = CONDITIONAL if data.get("classes") else MLP
    spec = dataclasses.replace(PAPER_GAME, discriminator=network)
    real, fake, params = data_of(spec, **data)
    outputs = []
    for by_example in (False, True):
        batch = Batch(dataclasses.replace(spec, by_example=by_example), {}, *[None] * 6, jax.random.key(7))
        outputs.append(batch.discriminator_outputs(params, {}, real, fake))
    apart, together = outputs
    np.testing.assert_allclose(together.real, apart.real, rtol=1e-5)
    np.testing.assert_allclose(together.fake, apart.fake, rtol=1e-5)
    assert not np.allclose(apart.real, apart.fake)


# --- refused ---


@pytest.mark.parametrize(
    "words",
    [
        ["dataset=digits", "architecture=dcgan", "penalty=[r1]"],
        ["architecture=maxout", "penalty=[r1]"],
        ["architecture.minibatch=stddev", "penalty=[r1]"],
        ["penalty=[r1,spectral_normalisation]"],
        ["loss=cramer", "penalty=[r1]"],
    ],
    ids=lambda words: words[-2] if len(words) > 1 else words[0],
)
@pytest.mark.parametrize("form", ["fused", "approximate"])
def test_forms_that_need_an_output_of_one_example_alone_are_refused_elsewhere(words, form):
    config = check(compose("train", words))
    shape = (8, 8, 1) if "dataset=digits" in words else (2,)
    gan_spec(config, shape)  # exact is always possible
    config = check(compose("train", [*words, f"penalty.r1.gradient={form}"]))
    with pytest.raises(
        ConfigError,
        match=rf"penalty\.r1\.gradient={form} needs a discriminator whose output, a single one, .* Use gradient=exact",
    ):
        gan_spec(config, shape)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], ("fused", "fused")),
        (["penalty.r1.gradient=exact"], ("exact", "fused")),
        (["architecture=maxout"], ("exact", "exact")),
        (["architecture.minibatch=stddev"], ("exact", "exact")),
        (["generator_update.unrolled=2"], ("exact", "exact")),
        (["penalty=[r1,r2,consensus]"], ("exact", "exact")),
        (["loss=cramer"], ("exact", "exact")),
    ],
    ids=lambda value: "+".join(value) or "defaults",
)
def test_auto_is_fused_where_that_is_possible(words, wanted):
    spec = gan_spec(check(compose("train", ["penalty=[r1,r2]", *words])), (2,))
    assert tuple(penalty.gradient for penalty in spec.penalties[:2]) == wanted


def test_fused_needs_a_network_without_attention():
    words = ["dataset=digits", "architecture=resnet", "penalty=[r1]", "architecture.attention=true"]
    assert gan_spec(check(compose("train", words)), (8, 8, 1)).penalties[0].gradient == "exact"
    with pytest.raises(ConfigError, match=r"be piecewise linear \(no attention\)"):
        gan_spec(check(compose("train", [*words, "penalty.r1.gradient=fused"])), (8, 8, 1))


def test_fused_where_dropout_is_off():
    words = ["architecture=maxout", "architecture.dropout=0", "architecture.input_dropout=0", "penalty=[r1,r2]"]
    forms = ["penalty.r1.gradient=fused", "penalty.r2.gradient=fused"]
    assert gan_spec(check(compose("train", [*words, *forms])), (2,)).fused == ("real", "fake")
