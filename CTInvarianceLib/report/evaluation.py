"""How good the denoisers and embeddings are, and how far their layers' samples can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import ConfigError, Progress, part, unheard
from ..config import DOMAINS, Domain, Question
from ..data import Data
from ..embedding import kl_divergence
from ..models import Models
from ..sampling import sample_invariances
from ..tensors import Processes, denormalize, together
from .montage import ct_window
from .unseen import Drawn, draw_unseen

SSIM_PIXELS, SSIM_SIGMA = 11, 1.5  # width of the weights that it compares under, and their standard deviation

TRUSTED_PATCHES = 2  # that every layer is judged on, if nothing else is asked for

_SAMPLES = 19
_READING_SHARE = 0.2  # of the time
_FIGURES = (
    "spread_hu",
    "arrives_hu",
    "visibility",
    "noise_passes",
    "displaced_passes",
    "proposed_misfit",
    "moved_hu",
    "moved_hu_shuffled",
    "coverage_90",
    "consistency",
)

Row = dict[str, Any]


@torch.inference_mode()
def evaluate(
    models: Models,
    data: Data,
    *,
    seed: int = 0,
    store: Path | str | None = None,
    patches: int = TRUSTED_PATCHES,
    progress: Progress = unheard,
) -> dict[str, list[Row]]:
    """Tables over patients that the models were not trained on: those of the test part, where there is one.

    Several processes (`tensors.together`) share the patients, and then the layers and their patches; all of them have
    the tables in the end. A patient's patches, and the samples of a patch, are the same whoever draws them.

    Args:
        models: a trained set.
        data: a source for `find_pairs`, or pairs; training patients in it are left out.
        seed: of the patches and samples.
        store: folder of converted series; None: `places.store_folder()`.
        patches: that the samples of every layer are judged on, one patient's after the other's.
        progress: gets the fraction that is done.

    Returns:
        "denoising": RMSE (HU), PSNR (dB) and SSIM of every denoiser, and of the low dose as it is, against the full
        dose, with the CT window of the latter two (centre and width, HU). "embedding": RMSE (HU) of D(E(·)) per domain,
        beside that of the image shrunk to as many numbers and enlarged again, numbers per pixel, and KL divergence.
        "layers": the evidence of every layer's samples at the default tolerance, see `trust.Evidence`; how far they
        were moved, and how far samples that were proposed for another patch would have to be: the control, several
        times as far; and, in the full-dose domain, the share of pixels in which 90 % intervals cover the true full
        dose.

    Raises:
        DataError: nothing but training patients.
        ConfigError: no number of patches.
        VolumeError: of the first series, where none can be used.
        ProcessError: another one of several processes has failed.
    """
    if patches < 1:
        raise ConfigError(f"layers cannot be judged on {patches} patches", hint="Ask for one or more.")
    with together() as own:
        read = part(progress, 0, _READING_SHARE)
        drawn = draw_unseen(models, data, own, trusted=patches, seed=seed, store=store, progress=read)
        return _tables(models, own, drawn, part(progress, _READING_SHARE, 1))


def _tables(models: Models, own: Processes, drawn: Drawn, progress: Progress) -> dict[str, list[Row]]:
    """Every process measures its share of the rows, and has all of them."""
    layers = [(name, layer) for name in models.denoisers for layer in models.layers(name)]
    work: list[tuple[str, ...]] = [("denoising", name) for name in ("", *models.denoisers)]
    work += [("embedding", domain) for domain in DOMAINS]
    # In an order in which the next ones take as long: whoever takes every second one has as much as the other.
    work += [
        ("layers", name, layer, domain, str(patch))
        for domain in DOMAINS
        for name, layer in layers
        for patch in range(drawn.trusted)
    ]
    share, done = own.share(work), []
    for number, (table, *what) in enumerate(share):
        done.append(_MEASURES[table](models, drawn, *what))
        progress((number + 1) / len(share))
    rows = dict(zip(work, own.together(done), strict=True))
    tables = {
        table: [rows[each] for each in work if each[0] == table] for table in ("denoising", "embedding")
    }
    tables["layers"] = [
        _over_patches([rows["layers", name, layer, domain, str(patch)] for patch in range(drawn.trusted)])
        for name, layer in layers
        for domain in DOMAINS
    ]
    return tables


def _over_patches(rows: Sequence[Row]) -> Row:
    """One row of several patches: the means of their figures."""
    figures = {name: [row[name] for row in rows] for name in _FIGURES}
    means = {name: None if None in values else _mean(values) for name, values in figures.items()}
    return rows[0] | means


def _denoising(models: Models, drawn: Drawn, name: str) -> Row:
    """Of a denoiser; "" for the low dose as it is."""
    if not name:
        return {"denoiser": "none (low dose)", **image_quality(drawn.low, drawn.full)}
    denoised = models.denoiser(name)(drawn.low.to(models.device)).cpu()
    return {"denoiser": name, **image_quality(denoised, drawn.full)}


def image_quality(images: Tensor, truth: Tensor) -> Row:
    """RMSE in HU; PSNR in dB and SSIM in a CT window scaled to 0–1, and which; mean over normalised (N, 1, H, W).

    The window is `montage.ct_window` of the true images.
    """
    from monai.metrics import PSNRMetric, SSIMMetric

    hu, true_hu = denormalize(images), denormalize(truth)
    centre, width = ct_window(true_hu.numpy())
    similarity = SSIMMetric(spatial_dims=2, data_range=1.0, win_size=SSIM_PIXELS, kernel_sigma=SSIM_SIGMA)
    windowed = [((x - centre) / width + 0.5).clamp(0, 1) for x in (hu, true_hu)]
    return {
        "rmse_hu": rmse_hu(images, truth),
        "psnr_db": float(PSNRMetric(max_val=1.0)(*windowed).mean()),
        "ssim": float(similarity(*windowed).mean()),
        "window_centre_hu": round(centre),
        "window_width_hu": round(width),
    }


def rmse_hu(a: Tensor, b: Tensor) -> float:
    """Root of the mean squared difference of normalised images, HU."""
    return float((denormalize(a) - denormalize(b)).square().mean().sqrt())


def shrink_and_enlarge(images: Tensor, numbers: int) -> Tensor:
    """Images (N, 1, H, W) shrunk to at least `numbers` pixels (area mean) and enlarged again (bicubic)."""
    side = int(np.ceil(np.sqrt(numbers)))
    small = F.interpolate(images, (side, side), mode="area")
    return F.interpolate(small, images.shape[-2:], mode="bicubic", align_corners=False)


def _embedding(models: Models, drawn: Drawn, domain: str) -> Row:
    low, x = drawn.low, drawn.low if domain == "low" else drawn.full
    module = models.embedding(domain).module
    posterior = module.encode(x.to(models.device))
    guides: tuple[Tensor, ...] = ()
    if module.guided:
        guides = (models.denoiser(models.config.embedding.guide)(low.to(models.device)),)
    decoded = module.decode(posterior.mean, *guides).cpu()
    numbers = int(np.prod(module.latent_shape))
    return {
        "domain": domain,
        "rmse_hu": rmse_hu(decoded, x),
        "shrunk_rmse_hu": rmse_hu(shrink_and_enlarge(x, numbers), x),
        "numbers_per_pixel": numbers / x[0].numel(),
        "kl_nats_per_pixel": float(kl_divergence(posterior.mean, 2 * posterior.std.log()).mean())
        / x[0].numel(),
    }


def _layer(models: Models, drawn: Drawn, denoiser: str, layer: str, domain: Domain, patch: str) -> Row:
    """The evidence of samples of one patch, and how far those of the next one would have to be moved."""
    k, trained = int(patch), models.trained_layer(denoiser, layer, domain)
    question = Question(denoiser, layer, _SAMPLES, domain, drawn.seed + k)
    own, truth, other = (
        denormalize(each[None]).numpy() for each in (drawn.low[k, 0], drawn.full[k, 0], drawn.low[k + 1, 0])
    )
    (samples,) = sample_invariances(trained, own, question, full_dose_hu=truth)
    assert samples.evidence is not None  # it is gathered whenever something is sampled
    row: Row = {
        "denoiser": denoiser,
        "layer": layer,
        "domain": domain,
        "tolerance": question.tolerance,
        "spread_hu": samples.spread,
        "arrives_hu": samples.evidence.arrives,
        "visibility": samples.visibility,
        "noise_passes": samples.noise_passes,
        "displaced_passes": samples.displaced_passes,
        "proposed_misfit": None,
        "moved_hu": None,
        "moved_hu_shuffled": None,
        "coverage_90": None,
        "consistency": _mean(samples.consistency),
    }
    if domain == "full":
        row["coverage_90"] = _coverage(samples.images, samples.target)
    else:
        (shuffled,) = sample_invariances(trained, own, question, full_dose_hu=truth, proposals_for=other)
        row["proposed_misfit"] = _mean(samples.proposed_misfit)
        row["moved_hu"] = _mean(samples.moved)
        row["moved_hu_shuffled"] = _mean(shuffled.moved)
    return row


_MEASURES: dict[str, Callable[..., Row]] = {
    "denoising": _denoising,
    "embedding": _embedding,
    "layers": _layer,
}


def _coverage(images: np.ndarray, truth: np.ndarray) -> float:
    """The share of pixels in which the truth lies between the least and the greatest of 19 samples: 90 % if it is one.

    Of n values and one more like them, that one lies between the others' extremes with probability (n − 1) / (n + 1).
    """
    return float(((truth >= images.min(0)) & (truth <= images.max(0))).mean())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
