"""Configurations: presets, files, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import json

import pytest

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.config import (
    DEFAULT_TOLERANCE,
    PRESETS,
    Config,
    Question,
    config_from_dict,
    preset,
    read_config,
)
from CTInvarianceLib.denoisers import Chen, Yang, reach


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_a_round_trip(name):
    config = preset(name)
    assert config.name == name
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.denoisers["chen"].layers == ("1", "3", "5")


def test_slides_and_reference_take_the_published_losses():
    slides, reference = preset("slides").denoisers["yang"], preset("reference").denoisers["yang"]
    assert (slides.perceptual_norm, slides.perceptual_weight, slides.critic_steps) == ("mse", 0.1, 4)
    assert (reference.perceptual_norm, reference.perceptual_weight, reference.critic_steps) == (
        "l1",
        0.689,
        1,
    )
    assert slides.start == reference.start == "random"


def test_standard_takes_published_denoisers_at_all_layers_until_they_learn_no_more():
    config = preset("standard")
    chen, yang = config.denoisers["chen"], config.denoisers["yang"]
    assert (chen.start, yang.start, config.embedding.kind) == ("random", "random", "complete")
    assert len(yang.layers) == 8
    assert (yang.perceptual_norm, yang.perceptual_weight, yang.critic_steps) == ("mse", 0.1, 4)
    assert all(each.patience and each.validate_every for each in (chen, yang))
    assert (chen.margin, yang.margin) == tuple(reach(f, la) for f, la in ((Chen(), "5"), (Yang(), "8")))
    assert config.flow.steps > preset("quick").flow.steps


def test_vgg19_is_compared_with_where_it_is_given_and_ct_else():
    config = preset("standard")
    assert config.decided().denoisers["yang"].perceptual == "ct"
    assert config.decided().needs_encoder
    given = dataclasses.replace(config, vgg19="vgg19.pth").decided()
    assert given.denoisers["yang"].perceptual == "vgg19"
    assert not given.needs_encoder
    assert given.denoisers["chen"] == config.denoisers["chen"]


def test_patience_needs_something_to_wait_for():
    with pytest.raises(ConfigError, match=r"nobody knows what to be patient for: .*c, patience"):
        config_from_dict({"denoisers": {"c": {"architecture": "chen", "patience": 3}}})
    with pytest.raises(ConfigError, match=r"halves patches twice: .*y, patch_size"):
        config_from_dict(
            {
                "denoisers": {
                    "y": {"architecture": "yang", "loss": "wgan-vgg", "perceptual": "ct", "patch_size": 66}
                }
            }
        )


def test_quick_and_whatever_says_nothing_take_the_complete_embedding():
    assert preset("quick").embedding.kind == Config().embedding.kind == "complete"
    assert preset("slides").embedding.kind == preset("reference").embedding.kind == "vector"
    least, most = Config().flow.tolerances
    assert least < DEFAULT_TOLERANCE < most


def test_a_question_says_which_samples_are_meant_and_tiles_do_not_change_them():
    asked = Question("chen", "5", 7, "full", 3, 0.7, 64, flow=False)
    assert (asked.tolerance, asked.tile) == (0.7, 64)
    assert Question("chen", "5").tolerance == DEFAULT_TOLERANCE
    assert asked.to_dict() == {
        "denoiser": "chen", "layer": "5", "domain": "full", "n": 7, "seed": 3, "tolerance": 0.7, "flow": False
    }  # fmt: skip


def test_a_file_changes_only_what_it_names(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('seed = 5\n[embedding]\nsteps = 7\n[denoisers.chen]\nlayers = ["3"]\n')
    config = read_config(path, preset("quick"))
    assert (config.seed, config.embedding.steps, config.denoisers["chen"].layers) == (5, 7, ("3",))
    assert config.embedding.latent_dim == preset("quick").embedding.latent_dim
    assert config.denoisers["yang"] == preset("quick").denoisers["yang"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, "no setting named sede: configuration"),
        ({"embedding": {"steps": "many"}}, "'many' is not a int: configuration, embedding, steps"),
        ({"embedding": {"steps": True}}, "True is not a int"),
        ({"embedding": 3}, "not a table of settings"),
        ({"embedding": {"kind": "whole"}}, "'whole' is not possible"),
        ({"flow": {"tolerances": ["none", 2]}}, "'none' is not a float"),
        ({"denoisers": {"mine": {}}}, "architecture is missing: configuration, denoisers, mine"),
        ({"denoisers": {"c": {"architecture": "chen", "loss": "l3"}}}, "'l3' is not possible"),
    ],
)
def test_mistakes_are_named_with_their_place(values, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict(values)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("steps = = 3")
    with pytest.raises(ConfigError, match="not valid"):
        read_config(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match="Choose one of quick, standard, slides, reference"):
        preset("fast")


def test_a_configuration_cannot_be_changed():
    with pytest.raises(AttributeError):
        Config().seed = 3
