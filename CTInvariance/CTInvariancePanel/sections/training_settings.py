"""What the widgets of Train say, as a configuration; and who is trained on, as a sentence."""

from __future__ import annotations

from slicer.i18n import tr as _

from CTInvarianceLib.base import ConfigError
from CTInvarianceLib.config import Config, config_from_dict, preset

from ..dicom import database


def configured(
    name: str, *, denoisers: list[str], dose: float, steps: float, seed: int, device: str
) -> Config:
    """A preset with the few things changed that people choose.

    Args:
        name: of the preset.
        denoisers: those that are trained.
        dose: of simulated low dose, a fraction.
        steps: what the numbers of steps are multiplied with.
        seed: of everything.
        device: "auto", "cuda", "mps" or "cpu".

    Raises:
        ConfigError: a setting is not possible.
    """
    if not denoisers:
        raise ConfigError(_("choose a denoiser"))
    values = preset(name).to_dict()
    values["denoisers"] = {key: each for key, each in values["denoisers"].items() if key in denoisers}
    for part in (*values.values(), *values["denoisers"].values()):
        if isinstance(part, dict) and "steps" in part:
            part["steps"] = max(1, round(steps * part["steps"]))
    values["data"]["dose"] = round(dose, 6)
    return config_from_dict({**values, "seed": seed, "accelerator": device})


def needsVGG19(config: Config) -> bool:
    """Whether VGG19's published weights are needed, and nobody has said where they are."""
    of_denoisers = any(
        each.loss == "wgan-vgg" and each.perceptual == "vgg19" and not each.weights
        for each in config.denoisers.values()
    )
    return not config.vgg19 and (config.embedding.perceptual == "vgg19" or of_denoisers)


def splitText(split: database.Split) -> str:
    """How many are trained on and kept apart; who they are is to be seen in Data."""
    parts = {_("training"): split.training, _("validation"): split.validation, _("test"): split.test}
    return ", ".join(f"{len(names)} {part}" for part, names in parts.items() if names)
