"""The model card of an export: ``README.md`` with the YAML front matter that model hubs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from ganrun import __version__
from ganrun.config.hparams import chosen
from ganrun.errors import exact
from ganrun.export.describe import MEANINGS, PATH, PRIVATE, Facts
from ganrun.export.programs import Input, Program

Row = tuple[str, str, str]  # the tag, the value and the meaning of a metric

# How an input is drawn, by its name, in Python with JAX.
DRAWN = {
    "latents": {
        "normal": "jax.random.normal(key, ({n}, {dim}))",
        "uniform": "jax.random.uniform(key, ({n}, {dim}), minval=-1.0, maxval=1.0)",
    },
    "keys": "jax.random.key_data(jax.random.split(key, {n}))",
    "labels": "jax.numpy.zeros({n}, int)  # the class of each sample",
}


def model_card(facts: Facts, status: str, metrics: Sequence[Row], files: Mapping[str, bytes]) -> str:
    """Return the text of ``README.md``.

    Args:
        facts: what is known of the model.
        status: of the run.
        metrics: the metrics at the end of the run.
        files: the other files.
    """
    parts = [
        _front_matter(facts),
        f"# {facts.name}\n\n{_what_it_is(facts)}",
        f"![samples](samples.png)\n\n{_what_is_shown(facts)}" if "samples.png" in files else "",
        f"## Files\n\n{_listed(files)}",
        _use(facts, files),
        f"## Latents and samples\n\n{_latents(facts)}",
        f"## Training\n\n{_training(facts, status, metrics)}",
        f"## Limitations\n\n{_limitations(facts)}",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _front_matter(facts: Facts) -> str:
    method = "generative-adversarial-network" if facts.config.method.name == "gan" else facts.config.method.name
    tags = ["ganrun", method, facts.config.dataset.name]
    tags += ["class-conditional"] if facts.method.classes else []
    node: dict[str, object] = {"library_name": "jax", "tags": tags}
    if facts.is_image and not facts.method.classes:
        node["pipeline_tag"] = "unconditional-image-generation"
    text = yaml.safe_dump(node, sort_keys=False, allow_unicode=True)
    return f"---\n{text}license: unknown  # replace it by the license that you choose\n---"


def _what_it_is(facts: Facts) -> str:
    config = facts.config
    kind = "images" if facts.is_image else "vectors"
    shape = " x ".join(map(str, facts.shape))
    network = f", architecture `{config.architecture.name}`" if config.architecture is not None else ""
    conditional = f", conditioned on {facts.method.classes} classes" if facts.method.classes else ""
    return (
        f"A model of {kind} ({shape}) trained on the dataset `{config.dataset.name}` with ganrun {__version__}: method "
        f"`{config.method.name}`{network}{conditional}. The weights are those of step {facts.step} of {config.steps}"
        f"{_averaged(facts)}."
    )


def _averaged(facts: Facts) -> str:
    if facts.sigma_rel is not None:
        return f", their power-function average of the relative width {facts.sigma_rel:g}"
    return ", their exponential moving average" if facts.average else ""


def _what_is_shown(facts: Facts) -> str:
    return "Samples of the exported program, not selected." + (" Classes in order." if facts.method.classes else "")


def _listed(files: Mapping[str, bytes]) -> str:
    names = {name: MEANINGS[name] for name in files} | {
        "config.json": "shapes, ranges, the configuration of the run, checksums",
        "SHA256SUMS": "checksums, for `sha256sum -c SHA256SUMS`",
    }
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in names.items())
    return f"| file | content |\n|---|---|\n{rows}"


def _use(facts: Facts, files: Mapping[str, bytes]) -> str:
    blocks = [_with_jax(program, facts) for program in facts.programs if f"{program.name}.stablehlo" in files]
    text = "\n\n".join(blocks)
    if text:
        platforms = ", ".join(facts.platforms)
        batch = "any number of samples at once" if facts.batch is None else f"{facts.batch} samples at once"
        text = f"With JAX, without ganrun, on {platforms}, {batch}:\n\n{text}\n\n"
    if "model.onnx" in files:
        text += f"With ONNX Runtime:\n\n{_with_onnx(facts)}\n\n"
    average = "" if facts.average else ", average=False"
    if facts.sigma_rel is not None:
        average = f", sigma_rel={facts.sigma_rel:g}"
    return (
        f"## Use\n\n{text}With ganrun, in the folder that holds the run:\n\n```python\nimport ganrun\n\n"
        f'run = ganrun.load_run("{_quoted(facts.name)}", checkpoint="{facts.step}")\n'
        f"samples = run.sample(16, seed=0{average})\n```"
    )


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _with_jax(program: Program, facts: Facts) -> str:
    """Return a block of Python that runs ``program``; a test executes it."""
    names = ", ".join(one.name for one in program.inputs)
    draws = "\n".join(f"{one.name} = {_drawn(one, facts)}" for one in program.inputs)
    return (
        f"```python\nimport jax\nfrom jax import export\n\nkey = jax.random.key(0)\n"
        f'with open("{program.name}.stablehlo", "rb") as file:\n'
        f"    {program.name} = export.deserialize(bytearray(file.read()))\n"
        f"{draws}\nsamples = {program.name}.call({names})\n```\n\n"
        f"The result is float32 `({_size(facts)}, {', '.join(map(str, facts.shape))})`: {program.meaning}."
    )


def _with_onnx(facts: Facts) -> str:
    """Return a block of Python that runs ``model.onnx``."""
    inputs = facts.programs[0].inputs
    draws = "\n".join(f"{one.name} = {_drawn_by_numpy(one, facts)}" for one in inputs)
    given = ", ".join(f'"{one.name}": {one.name}' for one in inputs)
    return (
        "```python\nimport numpy as np\nimport onnxruntime\n\nrng = np.random.default_rng(0)\n"
        f'session = onnxruntime.InferenceSession("model.onnx")\n{draws}\n'
        f"(samples,) = session.run(None, {{{given}}})\n```"
    )


def _drawn_by_numpy(one: Input, facts: Facts) -> str:
    if one.name == "labels":
        return f"np.zeros({_size(facts)}, np.int32)  # the class of each sample"
    assert facts.method.prior is not None
    shape = f"size=({_size(facts)}, {facts.method.prior.dim})"
    drawn = f"rng.uniform(-1, 1, {shape})" if facts.method.prior.name == "uniform" else f"rng.normal({shape})"
    return f"{drawn}.astype(np.float32)"


def _size(facts: Facts) -> int:
    return facts.batch or 16


def _drawn(one: Input, facts: Facts) -> str:
    text = DRAWN[one.name]
    if isinstance(text, dict):
        assert facts.method.prior is not None
        return text[facts.method.prior.name].format(n=_size(facts), dim=facts.method.prior.dim)
    return text.format(n=_size(facts))


def _latents(facts: Facts) -> str:
    prior = facts.method.prior
    lines = []
    if prior is None:
        lines.append("The method has no latents.")
    else:
        kind = "uniform on [-1, 1]" if prior.name == "uniform" else "standard normal"
        lines.append(f"A latent has {prior.dim} dimensions, which are independent and {kind}.")
    if facts.is_image:
        lines.append(
            "Pixels are floats from -1 (black) to 1, on a linear scale: `(x + 1) * 127.5` rounded gives bytes."
        )
        lines.append("Axes are sample, row, column and channel.")
    else:
        lines.append("Samples are in the units of the data.")
    if facts.method.classes:
        lines.append(f"Labels are int32 from 0 to {facts.method.classes - 1}, in the order of the dataset.")
    return " ".join(lines)


def _training(facts: Facts, status: str, metrics: Sequence[Row]) -> str:
    settings = {"steps": facts.config.steps, "batch_size": facts.config.batch_size} | chosen(facts.config)
    shown = {key: value for key, value in settings.items() if key not in (*PRIVATE, PATH)}
    lines = "\n".join(f"| `{key}` | {_value(value)} |" for key, value in shown.items())
    text = (
        f"The run is {status}. These settings are those that were chosen; `config.json` has all.\n\n"
        f"| setting | value |\n|---|---|\n{lines}\n\n"
    )
    if not metrics:
        return text + "The run has no metrics."
    rows = "\n".join(f"| `{tag}` | {_cell(value)} | {_cell(meaning)} |" for tag, value, meaning in metrics)
    return text + (
        f"The metrics at the end of the run, or at the step that is given. {_measured_on(facts)}\n\n"
        f"| metric | value | meaning |\n|---|---|---|\n{rows}"
    )


def _measured_on(facts: Facts) -> str:
    if facts.has_average and (facts.sigma_rel is not None or not facts.average):
        return "They are those of the exponential moving average of the weights, which is not exported here."
    return "They are those of the last weights, and not of an earlier checkpoint that may be exported here."


def _value(value: object) -> str:
    return f"`{exact(value) if isinstance(value, float) else value}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _limitations(facts: Facts) -> str:
    lines = [
        f"- The model knows nothing but its training examples, those of `{facts.config.dataset.name}`, and shares "
        "their gaps and biases.",
        "- The metrics above are all that was measured. It was not measured how many of the samples resemble training "
        "examples, unless a metric above says so.",
    ]
    if facts.difference is not None:
        lines.append(
            "- On the machine that exported it, samples of the program differed from the model's own by at most "
            f"{facts.difference:.2g}. Other platforms were not tried."
        )
    if facts.config.precision != "f32":
        lines.append(f"- The networks compute in {facts.config.precision}: samples depend on the machine by rounding.")
    lines.append("- It has no license until its owner chooses one.")
    return "\n".join(lines)
