"""How good the denoisers and embeddings are, and how far their layers' samples can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..base import DataError, Progress, part, unheard
from ..config import DOMAINS, Domain, Question, recognised
from ..data import Data, Patches, as_pairs, load_patients, store_at
from ..embedding import kl_divergence
from ..models import Models
from ..sampling import TrainedLayer, sample_invariances
from ..sources import SeriesPair
from ..tensors import denormalize
from .montage import ct_window

SSIM_PIXELS, SSIM_SIGMA = 11, 1.5  # width of the weights that it compares under, and their standard deviation

_PATCHES = 64
_TRUSTED_PATCHES = 2
_SAMPLES = 19
_READING_SHARE = 0.2  # of the time

Row = dict[str, Any]


@torch.inference_mode()
def evaluate(
    models: Models,
    data: Data,
    *,
    seed: int = 0,
    store: Path | str | None = None,
    progress: Progress = unheard,
) -> dict[str, list[Row]]:
    """Tables over patients that the models were not trained on: those of the test part, where there is one.

    Args:
        models: a trained set.
        data: a source for `find_pairs`, or pairs; training patients in it are left out.
        seed: of the patches and samples.
        store: folder of converted series; None: `places.store_folder()`.
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
    """
    pairs = as_pairs(data)
    unseen = _unseen(pairs, recognised(models.manifest, {pair.patient_id for pair in pairs}))
    read = part(progress, 0, _READING_SHARE)
    config = models.config
    loaded = load_patients(unseen, config.data, seed=config.seed, store=store_at(store), progress=read)
    low, full = Patches(loaded).draw(_PATCHES, config.embedding.patch_size, seed=seed)
    layers = [(n, la, d) for n in models.denoisers for la in models.layers(n) for d in DOMAINS]
    tables: dict[str, list[Row]] = {
        "denoising": _denoising(models, low, full),
        "embedding": [_embedding(models, domain, low, full) for domain in DOMAINS],
        "layers": [],
    }
    for number, (name, layer, domain) in enumerate(layers):
        row = _layer(models.trained_layer(name, layer, domain), low, full, seed)
        tables["layers"].append({"denoiser": name, **row})
        progress(_READING_SHARE + (1 - _READING_SHARE) * (number + 1) / len(layers))
    return tables


def _unseen(pairs: Sequence[SeriesPair], split: Mapping[str, Sequence[str]]) -> list[SeriesPair]:
    """Pairs of patients that nothing was trained on; none of those it was chosen by either, if others are left."""
    unseen = [pair for pair in pairs if pair.patient_id not in split.get("training", ())]
    if not unseen:
        raise DataError("every patient here was trained on", hint="Evaluate on other patients.")
    return [pair for pair in unseen if pair.patient_id not in split.get("validation", ())] or unseen


def _denoising(models: Models, low: Tensor, full: Tensor) -> list[Row]:
    rows = [{"denoiser": "none (low dose)", **image_quality(low, full)}]
    for name in models.denoisers:
        denoised = models.denoiser(name)(low.to(models.device)).cpu()
        rows.append({"denoiser": name, **image_quality(denoised, full)})
    return rows


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


def _embedding(models: Models, domain: str, low: Tensor, full: Tensor) -> Row:
    module, x = models.embedding(domain).module, low if domain == "low" else full
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


def _layer(trained: TrainedLayer, low: Tensor, full: Tensor, seed: int) -> Row:
    """The evidence of samples of some patches, and how far those of other patches would have to be moved."""
    question = Question("", trained.layer, _SAMPLES, cast(Domain, trained.domain), seed)
    patches = range(_TRUSTED_PATCHES)
    own = denormalize(low[patches, 0]).numpy(), denormalize(full[patches, 0]).numpy()
    others = denormalize(low[[k + 1 for k in patches], 0]).numpy()
    slab = sample_invariances(trained, own[0], question, full_dose_hu=own[1])
    row: Row = {
        "layer": trained.layer,
        "domain": trained.domain,
        "tolerance": question.tolerance,
        "spread_hu": _mean(samples.spread for samples in slab),
        "arrives_hu": _mean(samples.evidence.arrives for samples in slab if samples.evidence),
        "visibility": _mean(samples.visibility for samples in slab),
        "noise_passes": _mean(samples.noise_passes for samples in slab),
        "displaced_passes": _mean(samples.displaced_passes for samples in slab),
        "proposed_misfit": None,
        "moved_hu": None,
        "moved_hu_shuffled": None,
        "coverage_90": None,
        "consistency": _mean(samples.consistency.mean() for samples in slab),
    }
    if trained.domain == "full":
        row["coverage_90"] = _mean(_coverage(samples.images, samples.target) for samples in slab)
    else:
        shuffled = sample_invariances(trained, own[0], question, full_dose_hu=own[1], proposals_for=others)
        row["proposed_misfit"] = _mean(samples.proposed_misfit.mean() for samples in slab)
        row["moved_hu"] = _mean(samples.moved.mean() for samples in slab)
        row["moved_hu_shuffled"] = _mean(samples.moved.mean() for samples in shuffled)
    return row


def _coverage(images: np.ndarray, truth: np.ndarray) -> float:
    """The share of pixels in which the truth lies between the least and the greatest of 19 samples: 90 % if it is one.

    Of n values and one more like them, that one lies between the others' extremes with probability (n − 1) / (n + 1).
    """
    return float(((truth >= images.min(0)) & (truth <= images.max(0))).mean())


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
