"""An autoencoder of CT, whose encoder's features a perceptual loss compares: one flat loop."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import EncoderConfig
from ..models import for_convolutions, require_weights
from .run import Run, set_learning_rate, stage_seed
from .watch import LOOK_EVERY, Watch

STAGE = "perceptual encoder"

_VALIDATED, _AT_ONCE = 64, 16  # patches, the same every time
_SCALED = 64  # patches that the features' scale is taken from


class CTAutoencoder(nn.Module):
    """Two halvings of the resolution down to a code of fewer numbers than pixels, and the way back.

    As Li et al. 2020 (SACNN, doi:10.1109/TMI.2020.2968472) replace VGG by the encoder of an autoencoder that has
    learned to reproduce CT; its size and its code are ours. Images are normalised, of any size that 4 divides.

    Args:
        width: channels of the finest maps.
        channels: of the code, for every 4×4 pixels.
        seed: of the first weights.
    """

    def __init__(self, width: int = 32, channels: int = 8, *, seed: int = 0) -> None:
        super().__init__()
        w, weights = width, 9 * (17 * width**2 + 4 * width * channels)
        require_weights(weights, "encoder", "width or channels")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoder = nn.Sequential(
                nn.Conv2d(1, w, 3, padding=1), nn.ReLU(),
                nn.Conv2d(w, w, 3, 2, padding=1), nn.ReLU(),
                nn.Conv2d(w, 2 * w, 3, padding=1), nn.ReLU(),
                nn.Conv2d(2 * w, 2 * w, 3, 2, padding=1), nn.ReLU(),
                nn.Conv2d(2 * w, 2 * w, 3, padding=1), nn.ReLU(),
                nn.Conv2d(2 * w, channels, 3, padding=1),
            )  # fmt: skip
            self.decoder = nn.Sequential(
                nn.Conv2d(channels, 2 * w, 3, padding=1), nn.ReLU(),
                nn.Conv2d(2 * w, 4 * w, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(),
                nn.Conv2d(w, 4, 3, padding=1), nn.PixelShuffle(2),
            )  # fmt: skip
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """The image again, from its code: (N, 1, H, W) -> the same."""
        image: Tensor = self.decoder(self.encoder(x))
        return image

    def features(self, x: Tensor) -> Tensor:
        """The code, scaled to what was asked for over training patches: (N, 1, H, W) -> (N, channels, H/4, W/4)."""
        code: Tensor = self.encoder(x)
        return self.scale * code


def build_encoder(config: EncoderConfig, *, seed: int = 0) -> CTAutoencoder:
    """The untrained autoencoder of a configuration."""
    return for_convolutions(CTAutoencoder(config.width, config.channels, seed=seed))


def train_encoder(run: Run) -> CTAutoencoder:
    """min ‖D(E(y)) − y‖² on full-dose patches y; in eval mode, on the run's device."""
    config, fabric = run.config.encoder, run.fabric
    autoencoder = build_encoder(config, seed=run.config.seed)
    optimizer = torch.optim.Adam(autoencoder.parameters(), config.learning_rate)
    trained = {"autoencoder": (autoencoder, optimizer)}
    model, optimizer = fabric.setup(autoencoder, optimizer)
    seed = stage_seed(run.config.seed, STAGE, 1)
    _, kept = run.validation.draw(_VALIDATED, config.patch_size, seed=seed)
    kept = fabric.to_device(kept)
    watch = Watch(
        STAGE,
        config.steps,
        trained,
        run.report,
        fabric=fabric,
        validate=lambda module: float(
            torch.stack([F.mse_loss(module(y), y) for y in kept.split(_AT_ONCE)]).mean()
        ),
        every=config.validate_every,
        patience=config.patience,
    )
    checkpoint, first = run.resume(STAGE, trained, watch)

    for step, _, full, _ in run.batches(STAGE, first, config.steps, config.batch_size, config.patch_size):
        if watch.over(step):
            break
        set_learning_rate(optimizer, config.learning_rate * watch.rate(step))
        loss = F.mse_loss(model(full), full)
        optimizer.zero_grad()
        fabric.backward(loss)
        optimizer.step()
        watch.seen(step, loss)
        if step % LOOK_EVERY == 0:
            run.report.metric(STAGE, step, loss=loss.item())
        run.end_step(STAGE, step, watch.steps, checkpoint)
    watch.finish()
    autoencoder.eval().requires_grad_(False)
    _, full = run.draw(f"{STAGE} scale", _SCALED, config.patch_size)
    autoencoder.scale.copy_(config.scale / autoencoder.features(full).std())
    return autoencoder
