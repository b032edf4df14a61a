"""``ganrun sample``: what it draws, and into which files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written import assert_logs_what_was_foretold

from ganrun.datasets.images import Digits
from ganrun.evaluation.load_run import load_run
from ganrun.evaluation.samples import BATCH, block_key
from ganrun.storage.run_directory import load_config


@pytest.fixture(scope="module")
def points(inside, tiny, tmp_path_factory) -> Path:
    """A folder with a trained run on the ring."""
    cwd = tmp_path_factory.mktemp("points")
    done = inside("train", *tiny, "steps=40", "log.every=20", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture(scope="module")
def digits(inside, tiny_dcgan, tmp_path_factory) -> Path:
    """A folder with a trained run on the digits."""
    cwd = tmp_path_factory.mktemp("digits")
    done = inside("train", *tiny_dcgan, "steps=5", "log.every=5", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture(scope="module")
def draw(inside) -> Callable[..., Path]:
    """Run ``ganrun sample out=NAME WORDS`` in the folder ``cwd``; return the file."""

    def run(cwd: Path, name: str, *words: str) -> Path:
        done = inside("sample", f"out={name}", *words, cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert name in done.stdout and done.stderr == ""
        return cwd / name

    return run


def test_npy_holds_as_many_points_as_asked_in_single_precision(points, draw):
    samples = np.load(draw(points, "a.npy", "n=7"), allow_pickle=False)
    assert samples.shape == (7, 2) and samples.dtype == np.float32
    assert np.isfinite(samples).all() and len(np.unique(samples, axis=0)) == 7


def test_npz_holds_the_same_numbers_under_the_name_samples(points, draw):
    with np.load(draw(points, "b.npz", "n=9"), allow_pickle=False) as file:
        assert file.files == ["samples"]
        samples = file["samples"]
    assert samples.shape == (9, 2) and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, np.load(draw(points, "b.npy", "n=9")))


def test_the_same_seed_gives_the_same_bits_and_another_others(points, draw):
    first = draw(points, "c.npy", "seed=1").read_bytes()
    assert draw(points, "d.npy", "seed=1", "run=latest").read_bytes() == first
    assert draw(points, "d.npy", "seed=2").read_bytes() != first


def test_a_real_process_draws_the_same_bits(points, draw, ganrun, tmp_path):
    run = next(points.glob("outputs/*/*"))
    done = ganrun("sample", f"run={run}", "out=e.npy", "n=11", "seed=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["e.npy"]
    assert (tmp_path / "e.npy").read_bytes() == draw(points, "e.npy", "n=11", "seed=5").read_bytes()


def test_the_average_is_drawn_from_by_default(points, draw):
    average = np.load(draw(points, "f.npy"))
    np.testing.assert_array_equal(average, np.load(draw(points, "f.npy", "average=true")))
    latest = np.load(draw(points, "g.npy", "average=false"))
    assert latest.shape == average.shape == (64, 2)
    assert (latest != average).any()


def test_png_of_points_is_a_picture(points, draw):
    with Image.open(draw(points, "h.png", "n=100")) as picture:
        picture.load()
        assert picture.format == "PNG" and min(picture.size) >= 300


def test_the_default_is_a_picture_in_this_folder(points, inside):
    done = inside("sample", cwd=points)
    assert done.returncode == 0, done.stderr
    assert (points / "samples.png").read_bytes()[:4] == b"\x89PNG"


def test_images_are_arrays_of_height_width_channel_in_their_range(digits, draw):
    images = np.load(draw(digits, "a.npy", "n=6"), allow_pickle=False)
    assert images.shape == (6, 8, 8, 1) and images.dtype == np.float32
    assert np.abs(images).max() <= 1 and images.std() > 0


def test_png_of_images_is_a_square_grid(digits, draw):
    with Image.open(draw(digits, "b.png", "n=9")) as picture:
        picture.load()
        assert picture.format == "PNG" and picture.mode == "L"
        assert picture.width == picture.height and picture.width % (3 * (8 + 2) + 2) == 0


def test_the_newest_run_is_meant_by_latest(points, inside, tiny, draw, tmp_path):
    for steps in (20, 40):
        done = inside("train", *tiny, f"steps={steps}", "log.every=20", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = inside("sample", "out=x.npy", cwd=tmp_path)
    assert done.returncode == 0 and "step 40" in done.stdout


def test_a_run_without_checkpoint_is_reported_and_stays_as_it_was(points, inside, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    config = next(points.glob("outputs/*/*/config.yaml"))
    (run / "config.yaml").write_bytes(config.read_bytes())
    done = inside("sample", "run=run", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "checkpoint" in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "config.yaml"]


def test_an_older_file_stays_when_drawing_fails(points, inside, tmp_path):
    (tmp_path / "x.npy").write_text("kept")
    done = inside("sample", "run=nowhere", "out=x.npy", cwd=tmp_path)
    assert done.returncode == 2 and (tmp_path / "x.npy").read_text() == "kept"


def test_a_file_in_place_of_the_folder_is_reported_without_a_traceback(points, inside):
    (points / "there.png").mkdir(exist_ok=True)
    done = inside("sample", "out=there.png", cwd=points)
    assert done.returncode in (1, 2)
    assert "there.png" in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 2
    assert not [path for path in points.iterdir() if path.name.startswith(".ganrun-")]


def test_sample_sweeps_too(points, inside, tmp_path):
    run = next(points.glob("outputs/*/*"))
    done = inside("sample", "-m", f"run={run}", "seed=1,2", f"out={tmp_path}/${{seed}}.npy", "n=3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = np.load(tmp_path / "1.npy"), np.load(tmp_path / "2.npy")
    assert one.shape == two.shape == (3, 2) and (one != two).any()


def test_more_samples_begin_with_the_fewer_also_beyond_what_is_drawn_at_once(points, draw):
    few = np.load(draw(points, "few.npy", "n=5", "seed=3"))
    many = np.load(draw(points, "many.npy", "n=1100", "seed=3"))
    assert many.shape == (1100, 2) and len(np.unique(many, axis=0)) == 1100
    np.testing.assert_array_equal(many[:5], few)


def test_flags_may_stand_between_the_settings(points, inside):
    done = inside("sample", "n=3", "--cfg", "job", "seed=5", cwd=points)
    assert done.returncode == 0, done.stderr
    assert "seed: 5" in done.stdout


def test_ways_lead_from_one_sample_to_the_next(points, draw):
    drawn = np.load(draw(points, "i.npy", "n=6", "seed=3"))
    with np.load(draw(points, "i.npz", "mode=interpolate", "n=3", "steps=5", "seed=3"), allow_pickle=False) as file:
        samples, latents = file["samples"], file["latents"]
    assert samples.shape == latents.shape == (3, 5, 2) and samples.dtype == latents.dtype == np.float32
    np.testing.assert_allclose(samples[:, 0], drawn[::2], atol=1e-5)
    np.testing.assert_allclose(samples[:, -1], drawn[1::2], atol=1e-5)


def test_a_wide_truncation_draws_what_is_drawn_without_and_a_tight_one_does_not(points, draw):
    drawn = np.load(draw(points, "j.npy", "n=6", "seed=3", "mode=random"))
    wide = np.load(draw(points, "k.npy", "n=6", "seed=3", "mode=truncate", "truncation=50"))
    np.testing.assert_allclose(wide, drawn, atol=1e-5)
    with np.load(draw(points, "k.npz", "n=600", "mode=truncate", "truncation=0.25"), allow_pickle=False) as file:
        assert file["samples"].shape == (600, 2)
        assert 0.2 < np.abs(file["latents"]).max() <= 0.25


def test_ways_through_images_are_a_table_of_rows(digits, draw):
    with Image.open(draw(digits, "i.png", "mode=interpolate", "n=2", "steps=5")) as picture:
        assert picture.size == (52 * 9, 22 * 9)  # a margin of 2 around 5 x 2 images of 8 x 8, enlarged
    with Image.open(draw(digits, "w.png", "mode=walk", "n=3", "steps=2")) as picture:
        assert picture.size == (22 * 15, 32 * 15)


def test_a_walk_may_be_an_animation(digits, draw):
    with Image.open(draw(digits, "w.gif", "mode=walk", "n=3", "steps=4")) as picture:
        # Frames that look the same are joined, and stay for longer.
        shown = 0
        for frame in range(picture.n_frames):
            picture.seek(frame)
            shown += picture.info["duration"]
    assert picture.format == "GIF" and shown == 3 * 4 * 50


def test_a_walk_may_be_a_webp_too(digits, draw):
    with Image.open(draw(digits, "w.webp", "mode=walk", "n=2", "steps=3")) as picture:
        assert picture.format == "WEBP" and picture.size == (256, 256)


def test_samples_are_shown_beside_their_nearest_training_examples(digits, draw, inside):
    with np.load(draw(digits, "n.npz", "mode=neighbours", "n=3", "neighbours=4"), allow_pickle=False) as file:
        samples, neighbours, distances, index = (file[name] for name in ("samples", "neighbours", "distances", "index"))
    np.testing.assert_allclose(samples, np.load(draw(digits, "n.npy", "n=3")), atol=1e-6)
    training = Digits().load(Path("unused")).train.reshape(-1, 8, 8, 1) / 127.5 - 1.0
    exact = np.sqrt(((samples[:, None] - training) ** 2).sum(axis=(2, 3, 4)))
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :4], rtol=1e-4)
    np.testing.assert_allclose(neighbours, training[index], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(exact, index, axis=1), distances, rtol=1e-4)
    done = inside("sample", "mode=neighbours", "n=3", "out=n.png", cwd=digits)
    assert f"(median), {distances[:, 0].min():.3g} (minimum)" in done.stdout
    with Image.open(digits / "n.png") as picture:  # 6 columns and 3 rows of 8 x 8 in a margin of 2, enlarged
        assert picture.width * 32 == picture.height * 62


def test_a_film_shows_the_pictures_of_a_run_in_order(points, draw, inside, tmp_path):
    run = tmp_path / "outputs" / "2026-01-01" / "r"
    shutil.copytree(next(points.glob("outputs/*/*")), run)
    for path in (run / "samples").iterdir():
        path.unlink()
    for step, level in ((100, 200), (5, 0), (20, 100)):
        Image.new("RGB", (40, 30), (level, level, level)).save(run / "samples" / f"{step:08d}.png")
    Image.new("RGB", (9, 9)).save(run / "samples" / "00000020_densities.png")
    for name in ("f.gif", "f.webp"):
        with Image.open(draw(tmp_path, name, "run=outputs/2026-01-01/r", "mode=film", "milliseconds=100")) as picture:
            assert picture.size == (40, 44) and picture.n_frames == 3
            levels, durations = [], []
            for frame in range(3):
                picture.seek(frame)
                pixels = np.asarray(picture.convert("RGB"))
                levels.append(int(pixels[3, 3, 0]))
                durations.append(picture.info["duration"])
        assert np.abs(np.array(levels) - [0, 100, 200]).max() <= 3
        assert durations == [100, 100, 1000]
    done = inside("sample", "run=outputs/2026-01-01/r", "mode=film", "n=2", "out=f.gif", cwd=tmp_path)
    assert done.stdout == "2 pictures from step 5 to 100 in f.gif\n"
    done = inside("sample", "run=outputs/2026-01-01/r", "mode=film", "picture=densities", "out=d.gif", cwd=tmp_path)
    assert done.returncode == 2 and "has 1: train with evaluate.share=1 log.pictures=50" in done.stderr
    (run / "samples" / "00000020.png").write_bytes(b"nothing")
    done = inside("sample", "run=outputs/2026-01-01/r", "mode=film", "out=d.gif", cwd=tmp_path)
    assert done.returncode == 2 and "is not a PNG picture that can be read" in done.stderr
    Image.new("RGB", (40, 31)).save(run / "samples" / "00000020.png")
    done = inside("sample", "run=outputs/2026-01-01/r", "mode=film", "out=d.gif", cwd=tmp_path)
    assert done.returncode == 2 and "has another size" in done.stderr and not (tmp_path / "d.gif").exists()


def test_samples_are_projected_onto_the_latents_that_make_them(points, draw, inside):
    drawn = np.load(draw(points, "l.npy", "n=5", "seed=9"))
    done = inside("sample", "project=l.npy", "out=l.npz", "starts=4", "iterations=300", cwd=points)
    assert done.returncode == 0, done.stderr
    with np.load(points / "l.npz", allow_pickle=False) as file:
        assert sorted(file.files) == ["inputs", "latents", "reconstructions"]
        np.testing.assert_array_equal(file["inputs"], drawn)
        assert file["latents"].shape == (5, 2)
        error = ((file["reconstructions"] - drawn) ** 2).mean()
    assert error < 1e-5 * drawn.var()
    first, second, third = done.stdout.splitlines()
    assert first.startswith("5 examples") and "l.npz" in first
    assert f"mean squared error {error:.3g}" in second and "PSNR" not in second
    assert "of the prior 1)" in third


def test_a_picture_is_projected_and_shown_above_its_reconstruction(digits, draw, inside):
    image = np.load(draw(digits, "m.npy", "n=1"))[0, ..., 0]
    Image.fromarray(np.rint((image + 1) * 127.5).astype(np.uint8)).save(digits / "one.png")
    done = inside("sample", "project=one.png", "out=m.png", "starts=2", "iterations=5", cwd=digits)
    assert done.returncode == 0, done.stderr
    assert "PSNR" in done.stdout and "variance" not in done.stdout
    with Image.open(digits / "m.png") as picture:
        assert picture.height * 12 == picture.width * 20  # one image of 8 x 16 in a margin of 2


def test_an_encoder_reconstructs_and_says_how_well(inside, tiny, tmp_path):
    done = inside("train", *tiny, "steps=20", "log.every=20", "inference=bigan", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    inputs = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", inputs)
    done = inside("sample", "reconstruct=x.npy", "out=x.npz", "n=6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["inputs"], inputs[:6])
        assert len(np.unique(file["latents"], axis=0)) == 6
        error = ((file["reconstructions"] - inputs[:6]) ** 2).mean()
        square = (file["latents"] ** 2).mean()
    lines = done.stdout.splitlines()
    assert lines[0].startswith("6 examples") and f"error {error:.3g}," in lines[1] and f" {square:.3g} " in lines[2]
    assert lines[3].startswith("E(G(z)) against z")
    done = inside("sample", "reconstruct=x.npy", "out=x.png", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_a_class_conditional_run_draws_the_class_that_is_asked_for(inside, tiny, draw, only_run, tmp_path):
    done = inside("train", *tiny, "steps=20", "log.every=20", "conditional=true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_logs_what_was_foretold(only_run(tmp_path))
    one, other = (np.load(draw(tmp_path, f"{i}.npy", "n=5", f"label={i}")) for i in (0, 7))
    assert one.shape == other.shape == (5, 2) and (one != other).all()  # of the same noise
    truncated = np.load(draw(tmp_path, "t.npy", "n=5", "label=7", "mode=truncate", "truncation=50"))
    np.testing.assert_array_equal(truncated, other)
    experiment, state = load_run(run := only_run(tmp_path), load_config(run))
    with np.load(draw(tmp_path, "all.npz", "n=600")) as file:
        labelled = dict(file)
    assert set(labelled) == {"samples", "labels"} and set(labelled["labels"]) == set(range(8))
    # They are the samples that the method draws by itself, and each is that of its class.
    undirected = [experiment.sample(experiment.variables(state), block_key(0, start), BATCH) for start in (0, BATCH)]
    np.testing.assert_array_equal(labelled["samples"], np.concatenate(undirected)[:600])
    with np.load(draw(tmp_path, "sevens.npz", "n=600", "label=7")) as file:
        sevens = dict(file)
    assert set(sevens) == {"samples", "labels", "latents"} and (sevens["labels"] == 7).all()
    same = (labelled["samples"] == sevens["samples"]).all(1)
    np.testing.assert_array_equal(same, labelled["labels"] == 7)
    done = inside("jsd", "all.npz", "ring", "n=500", "budget=0.02", cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # of several arrays, the samples
    for words, told in ((["label=8"], "0 to 7, not 8"), (["mode=walk"], "label=0 to label=7")):
        done = inside("sample", *words, cwd=tmp_path)
        assert done.returncode == 2 and told in done.stderr and len(done.stderr.splitlines()) == 1


REFUSED = {
    "label=1": "no classes",
    "mode=tru": "'truncate'",
    "steps=4": "mode=interpolate and mode=walk",
    "truncation=0.5": "mode=truncate",
    "mode=truncate truncation=0": "greater than 0",
    "mode=interpolate steps=1": "at least 2",
    "mode=interpolate n=10000000": "10000000",
    "out=x.gif": "mode=random",
    "mode=walk n=500 out=x.gif": "2000 frames",
    "mode=latents": "this run has no encoder: use project=FILE, or train a GAN with inference=bigan",
    "mode=latents out=x.npy": "must end in .png, .npz with mode=latents",
    "mode=plane n=4000": "n=4000 times as many columns is more than 10000000 samples",
    "mode=neighbours": "needs a finite set of examples, and dataset=ring is none",
    "mode=neighbours out=x.npy": "must end in .png, .npz with mode=neighbours",
    "mode=film": "must end in .gif, .webp with mode=film",
    "mode=film out=x.gif label=3": "label belongs to samples; mode=film shows pictures that the run has drawn",
    "mode=film out=x.gif checkpoint=7": "checkpoint belongs to samples",
    "mode=film out=x.gif sigma_rel=0.1": "sigma_rel belongs to samples",
    "mode=film out=x.gif seed=4": "seed belongs to samples",
    "mode=film out=x.gif truncation=1": "truncation belongs to mode=truncate; mode=film does not use it",
    "neighbours=3": "neighbours belongs to mode=neighbours",
    "starts=3": "project",
    "key=latents": "project and reconstruct",
    "range=[0,1]": "project and reconstruct",
    "project=fits.npy range=[1,0]": "the lowest and the highest a pixel can be, as in [0,1], not [1,0]",
    "project=fits.npy range=[0]": "not [0]",
    "project=fits.npy key=latents": "key=latents names an array of an .npz file, and fits.npy is none",
    "project=none.png range=[0,1]": "those of a .png are bytes",
    "out='~nobody-here/x.npy'": "no user ~nobody-here",
    "project='~nobody-here/x.npy'": "no user ~nobody-here",
    "run=1e4": "run must be text, not the number 10000.0",
    "checkpoint=1.5": "checkpoint must be text, not the number 1.5",
    "project=none.npy": "none.npy",
    "project=none.jpg": ".npy, .npz, .png",
    "project=wide.npy": "vectors of 2",
    "project=holes.npy": "example 1 ",
    "project=wide.npy out=x.npy": ".png, .npz",
    "project=wide.npy mode=walk": "leave one of them out",
    "project=wide.npy reconstruct=wide.npy": "not both",
    "reconstruct=fits.npy iterations=3": "belongs to project",
    "reconstruct=fits.npy": "this run has no encoder: use project=FILE, or train a GAN with inference=bigan",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(words, points, inside):
    np.save(points / "fits.npy", np.zeros((4, 2)))
    np.save(points / "wide.npy", np.zeros((4, 3)))
    np.save(points / "holes.npy", np.array([[0.0, 0.0], [np.nan, 0.0]]))
    before = sorted(points.iterdir())
    done = inside("sample", *words.split(), cwd=points)
    assert done.returncode == 2 and REFUSED[words] in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
    assert sorted(points.iterdir()) == before


def test_points_without_a_density_are_drawn_by_themselves_and_not_as_an_animation(inside, draw, tmp_path):
    done = inside("train", "dataset=dirac", "steps=5", "batch_size=16", "probe=off", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(draw(tmp_path, "a.png", "n=9")) as picture:
        picture.load()
        assert min(picture.size) >= 300
    done = inside("sample", "mode=walk", "out=a.gif", cwd=tmp_path)
    assert done.returncode == 2 and "there is no picture of dirac" in done.stderr
    assert not (tmp_path / "a.gif").exists()


def test_a_picture_shows_the_given_number_of_points(points, inside, monkeypatch):
    shown = []

    def plane(samples, *rest):
        shown.append(samples)
        return b"\x89PNG"

    monkeypatch.setattr("ganrun.plots.pictures.plane", plane)
    done = inside("sample", "out=many.png", "n=5e3", cwd=points)
    assert done.returncode == 0 and done.stdout.startswith("5000 samples of ring")
    assert shown[0].shape == (5000, 2) and len(np.unique(shown[0], axis=0)) == 5000


def test_a_picture_of_more_images_than_it_can_hold_is_refused(digits, inside):
    done = inside("sample", "out=many.png", "n=2097153", cwd=digits)  # 8 x 8 pixels each, 2^27 at most
    assert done.returncode == 2 and not (digits / "many.png").exists()
    assert done.stderr == (
        "ganrun: 2097153 images in one picture are too many, 2097152 at most: write out=samples.npz.\n"
    )


def test_a_step_with_an_exponent_is_that_step(points, inside):
    done = inside("sample", "out=step.npy", "checkpoint=4e1", cwd=points)
    assert done.returncode == 0 and "step 40" in done.stdout, done.stderr


def test_what_the_pixels_of_a_file_are_taken_for_is_reported(digits, inside):
    np.save(digits / "bytes.npy", np.zeros((2, 8, 8), np.uint8))
    words = ("starts=1", "iterations=1", "out=found.npz")
    done = inside("sample", "project=bytes.npy", *words, cwd=digits)
    assert done.returncode == 0 and done.stdout.startswith("bytes.npy: pixels were taken as [0, 255]\n2 examples")
    np.save(digits / "open.npy", np.full((2, 8, 8), 0.5))
    done = inside("sample", "project=open.npy", *words, cwd=digits)
    assert done.returncode == 2 and "pixels go from 0.5 to 0.5, which leaves their range open" in done.stderr
    done = inside("sample", "project=open.npy", "range=[0,1]", *words, cwd=digits)
    assert done.returncode == 0, done.stderr
    with np.load(digits / "found.npz", allow_pickle=False) as file:
        assert (file["inputs"] == 0).all()
