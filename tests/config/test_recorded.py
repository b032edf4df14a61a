"""Configs that earlier versions have recorded."""

import pytest
import yaml

from ganrun.config.schema import check, to_dict
from ganrun.errors import ConfigError
from ganrun.storage.run_directory import load_config


def recorded(folder, node):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(node))
    return load_config(folder)


@pytest.mark.parametrize("method", ["autoregressive", "rbm", "gsn"])
def test_a_run_that_recorded_latents_it_did_not_have_is_read(method, compose_config, tmp_path):
    config = compose_config([f"method={method}", "dataset=digits"])
    node = {**to_dict(config), "latent": {"dim": 64, "prior": "normal"}}
    assert recorded(tmp_path / "run", node) == config
    with pytest.raises(ConfigError, match="latent is not a part"):
        check(node)  # what somebody has typed


def test_the_layers_of_an_earlier_pixelcnn_have_no_biases_for_each_pixel(compose_config, tmp_path):
    config = compose_config(["method=autoregressive", "architecture=pixelcnn", "dataset=digits"])
    assert config.architecture.pixel_biases and recorded(tmp_path / "new", to_dict(config)) == config
    node = to_dict(config)
    del node["architecture"]["pixel_biases"]
    assert not recorded(tmp_path / "old", node).architecture.pixel_biases


def test_a_run_with_latents_keeps_them(compose_config, tmp_path):
    config = compose_config(["dataset=ring", "latent.dim=5"])
    assert recorded(tmp_path / "run", to_dict(config)).latent.dim == 5
