"""Sizes and names that a configuration may have: what would take gigabytes, hours or another folder is refused."""

from __future__ import annotations

import json

import pytest
import tiny

from CTInvarianceLib.base import ConfigError, ModelsError
from CTInvarianceLib.config import (
    Config,
    FlowConfig,
    config_from_dict,
    denoiser_file,
    embedding_file,
    flow_file,
    path_in,
    read_config,
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"flow": {"levels": 30}}, "30 is not possible: configuration, flow, levels. Give 1 to 6: each halves"),
        ({"flow": {"hidden": 10**9}}, "Give 1 to 8192: weights grow with its square"),
        ({"flow": {"steps": -1}}, "-1 is not possible: configuration, flow, steps"),
        ({"embedding": {"steps": 0}}, "0 is not possible"),
        ({"embedding": {"patch_size": 10**6}}, "CT slices have 512"),
        ({"flow": {"tolerances": [0.5, float("nan")]}}, "nan is no number that can be used"),
        ({"flow": {"tolerances": [2.0, 0.5]}}, "from 2 to 0.5 there is nothing"),
        ({"flow": {"kernels": [0.0, 1.0]}}, "0.0 is not possible: configuration, flow, kernels, 0"),
        ({"embedding": {"kl_weight": float("inf")}}, "inf is no number"),
        ({"data": {"dose": 1.0}}, "1.0 is not possible: configuration, data, dose"),
        ({"data": {"validation": 0.6, "test": 0.6}}, "nobody is left to train with"),
        ({"seed": -1}, "-1 is not possible: configuration, seed"),
        ({"seed": 10**400}, "a number of more than 20 digits is not possible"),
        ({"name": "x" * 10**6}, "1000000 are too many: configuration, name"),
        ({"denoisers": {"c": {"architecture": "chen", "layers": ["1"] * 70}}}, "70 are too many"),
        ({"denoisers": {f"c{k}": {"architecture": "chen"} for k in range(40)}}, "40 are too many"),
    ],
)  # fmt: skip
def test_sizes_have_bounds_and_reasons(values, message):
    with pytest.raises(ConfigError, match=message):
        config_from_dict(values)


def test_configurations_made_in_python_are_held_to_the_same():
    with pytest.raises(ConfigError, match="30 is not possible: configuration, flow, levels"):
        Config(flow=FlowConfig(levels=30)).check()
    tiny.config().check()


NAMES = (
    "x/../../evil", "..", ".", "", "/etc/passwd", "a\\b", "C:evil", "a\0b", "a\n", "a b", ".hidden", "end.",
    "con", "NUL", "com1.x", "ü", "x" * 65, "-rf", "~", "$HOME", "a:stream",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_paths_or_no_file_names_everywhere_are_refused(name):
    for values in ({name: {"architecture": "chen"}}, {"c": {"architecture": "chen", "layers": [name]}}):
        with pytest.raises(ConfigError, match=r"may not be a name: .*Take letters, digits"):
            config_from_dict({"denoisers": values})
    for make in (denoiser_file, embedding_file, lambda name: flow_file("c", name, "low")):
        with pytest.raises(ConfigError, match="may not be a name"):
            make(name)


@pytest.mark.parametrize(
    "denoisers",
    [
        {"a-1": ["2"], "a": ["1-2"]},  # both flows would be a-1-2-low.safetensors
        {"Chen": [], "chen": []},  # one file on Windows and macOS
        {"c": ["net.0", "NET.0"]},
        {"c": ["1", "1"]},
    ],
)
def test_no_two_parts_have_one_file(denoisers):
    values = {name: {"architecture": "chen", "layers": layers} for name, layers in denoisers.items()}
    with pytest.raises(ConfigError, match="would have the same file"):
        config_from_dict({"denoisers": values})


def test_ordinary_names_pass():
    values = {"architecture": "chen", "layers": ["1", "net.0", "encoder.block-3_b"]}
    config = config_from_dict({"denoisers": {"my.Chen_2-b": values}})
    assert list(config.denoisers) == ["my.Chen_2-b"]


def test_a_path_of_a_set_leads_nowhere_else(tmp_path):
    inside, outside = tmp_path / "set", tmp_path / "outside"
    (inside / "denoisers").mkdir(parents=True)
    outside.mkdir()
    (outside / "chen.safetensors").write_bytes(b"theirs")
    (inside / "denoisers" / "chen.safetensors").symlink_to(outside / "chen.safetensors")
    (inside / "flows").symlink_to(outside)
    (inside / "unrelated.safetensors").mkdir()
    for file in (denoiser_file("chen"), flow_file("c", "1", "low"), "unrelated.safetensors"):
        with pytest.raises(ModelsError, match="is a link, or no plain file"):
            path_in(inside, file)
    (tmp_path / "chosen").symlink_to(inside)  # by whoever uses it
    assert (
        path_in(tmp_path / "chosen", embedding_file("low")) == tmp_path / "chosen/embeddings/low.safetensors"
    )


@pytest.mark.parametrize("ending", ["json", "toml"])
def test_files_without_end_are_errors(ending, tmp_path):
    path = tmp_path / f"deep.{ending}"
    path.write_text(f"{'' if ending == 'json' else 'a = '}{'[' * 10**5}")
    with pytest.raises(ConfigError, match="is not valid"):
        read_config(path)
    path.write_text(json.dumps({"name": "x" * 5 * 10**6}))
    with pytest.raises(ConfigError, match="more than 4 MB"):
        read_config(path)
