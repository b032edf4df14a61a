"""Options by name, and which of their numbers are values of the program."""

import dataclasses
from types import SimpleNamespace

import pytest

from ganrun.config import registry
from ganrun.config.registry import choice, lookup, number, options, register, static, traced
from ganrun.errors import LISTED, ConfigError
from ganrun.methods.gan.losses import Minimax


@pytest.fixture
def empty_room(monkeypatch):
    """A group ``hat`` without options that lives in this process only."""
    monkeypatch.setitem(registry.GROUP_MODULES, "hat", "ganrun.errors")
    monkeypatch.setitem(registry._options, "hat", {})
    return "hat"


@dataclasses.dataclass(frozen=True)
class Hat:
    name: str = "hat"
    weight: float = number(0.5, low=0.0)
    brims: int = number(1, low=0)
    feathers: int = number(3, low=0, traced=True)
    lined: bool = True
    colour: str = choice("red", ("red", "blue"))
    sizes: tuple[float, ...] = number((1.0, 2.0), above=0.0)


def test_what_is_registered_is_found(empty_room):
    assert register(empty_room, "bowler")(Hat) is Hat
    assert lookup(empty_room, "bowler") is Hat
    assert options(empty_room) == {"bowler": Hat}


def test_a_name_is_registered_once(empty_room):
    register(empty_room, "bowler")(Hat)
    with pytest.raises(ValueError, match="hat 'bowler' is registered twice"):
        register(empty_room, "bowler")(SimpleNamespace)


def test_a_group_that_has_no_room_cannot_be_registered_in():
    with pytest.raises(KeyError):
        register("nowhere", "bowler")(Hat)


def test_the_listing_is_a_copy():
    options("loss").clear()
    assert options("loss")["minimax"] is Minimax


def test_an_unknown_name_is_answered_with_all_and_the_closest():
    with pytest.raises(ConfigError) as caught:
        lookup("loss", "minmax")
    message = str(caught.value)
    assert message.startswith("loss has no option 'minmax'. Did you mean 'minimax'? It has ")
    assert all(name in message for name in options("loss"))


def test_of_many_names_some_are_listed_with_the_command_that_lists_all():
    with pytest.raises(ConfigError) as caught:
        lookup("dataset", "rnig")
    message = str(caught.value)
    names = sorted(options("dataset"))
    assert len(names) > LISTED
    assert message == (
        f"dataset has no option 'rnig'. Did you mean 'ring'? It has {', '.join(names[:LISTED])}, ... "
        f"({len(names)} in all: `ganrun list dataset`)."
    )


def test_a_name_that_is_like_none_gets_no_guess():
    with pytest.raises(ConfigError) as caught:
        lookup("loss", "zzz")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("group", sorted(registry.GROUP_MODULES))
def test_every_option_knows_its_own_name(group):
    assert options(group)
    for name, option in options(group).items():
        assert option().name == name
        assert lookup(group, name) is option


def test_floats_and_marked_integers_are_traced():
    assert traced(Hat(weight=2.0, feathers=9)) == {"weight": 2.0, "feathers": 9}


def test_hats_that_differ_in_traced_numbers_only_share_a_program():
    assert static(Hat(weight=2.0, feathers=9)) == static(Hat(weight=7.0)) == Hat()
    assert hash(static(Hat(weight=2.0))) == hash(Hat())


@pytest.mark.parametrize("change", [{"brims": 2}, {"lined": False}, {"colour": "blue"}, {"sizes": (1.0,)}])
def test_hats_that_differ_in_anything_else_do_not(change):
    assert static(Hat(**change)) == Hat(**change) != Hat()
