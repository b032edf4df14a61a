"""Other names of options are answered with the words that choose them."""

import pytest

from ganrun.config.hydra_bridge import compose
from ganrun.config.registry import options
from ganrun.config.schema import check
from ganrun.config.synonyms import SYNONYMS, meant
from ganrun.errors import ConfigError

WORDS = sorted({words for names in SYNONYMS.values() for words in names.values()})


def refusal(*words):
    with pytest.raises(ConfigError) as caught:
        check(compose("train", list(words)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("words", WORDS)
def test_the_words_choose_what_exists(words):
    compose("train", words.split())


def test_a_synonym_is_no_name_of_an_option():
    for group, names in SYNONYMS.items():
        assert not set(names) & set(options(group)), group


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("method=boltzmann", "method has no option 'boltzmann'. Did you mean method=rbm? It has autoregressive, "),
        ("method=nice", "method has no option 'nice'. Did you mean method=flow? It has "),
        ("method=Normalizing-Flow", "method has no option 'Normalizing-Flow'. Did you mean method=flow? It has "),
        (
            "method=pixelcnn",
            "method has no option 'pixelcnn'. Did you mean method=autoregressive architecture=pixelcnn? It has ",
        ),
        ("loss=lsgan", "loss has no option 'lsgan'. Did you mean loss=least_squares? It has "),
        ("method=rbn", "method has no option 'rbn'. Did you mean 'rbm'? It has "),
    ],
)
def test_an_unknown_option_is_answered_with_what_was_meant(word, wanted):
    assert refusal(word).startswith(wanted)


def test_a_name_without_a_synonym_has_no_answer():
    assert meant("method", "nonsense") == meant("seed", "boltzmann") == ""


@pytest.mark.parametrize("key", ["path", "folder", "root"])
def test_the_folder_of_images_is_the_data_folder(key):
    wanted = f"'dataset.{key}' is not a setting of dataset=folder: the folder of images is data_dir=FOLDER."
    assert refusal("dataset=folder", f"dataset.{key}=pictures") == wanted
