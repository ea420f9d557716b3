"""Names of denoisers and layers, which become parts of file names: what may be one, and where its file lies."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from ..base import ConfigError, ModelsError

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_WINDOWS = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE
)  # devices there, whatever their ending
_HINT = "Take letters, digits, dots, dashes and underscores, 64 at most, no dot at either end."


def is_name(name: object) -> bool:
    """Whether something may be the name of a denoiser or a layer: an identifier that is a file name everywhere."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name)) and not _WINDOWS.fullmatch(name)


def require_name(name: str, where: str) -> str:
    """The name; raises ConfigError where it may be none."""
    if not is_name(name):
        raise ConfigError(f"{str(name)[:80]!r} may not be a name", where=where, hint=_HINT)
    return name


def denoiser_file(name: str) -> str:
    """Where a denoiser's weights lie in a model set."""
    return f"denoisers/{require_name(name, 'denoiser')}.safetensors"


def embedding_file(domain: str) -> str:
    """Where an embedding's weights lie in a model set."""
    return f"embeddings/{require_name(domain, 'domain')}.safetensors"


def flow_file(denoiser: str, layer: str, domain: str) -> str:
    """Where the weights of a layer's flow lie in a model set."""
    names = (require_name(denoiser, "denoiser"), require_name(layer, "layer"), require_name(domain, "domain"))
    return f"flows/{'-'.join(names)}.safetensors"


def encoder_file() -> str:
    """Where the encoder that a perceptual loss compared features of lies in a model set; only training needs it."""
    return "perceptual.safetensors"


def unrelated_file() -> str:
    """Where the patches for the ceiling of R lie in a model set."""
    return "unrelated.safetensors"


def path_in(folder: Path, file: str) -> Path:
    """Where a file of a model set lies: inside its folder, no link on the way, and a plain file if it is there.

    The folder itself may be a link: somebody has chosen it.

    Raises:
        ModelsError: a link leads out of the folder, or something else has the name.
    """
    path, steps = folder, Path(file).parts
    for number, step in enumerate(steps):
        path = path / step
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        wanted = stat.S_ISREG if number == len(steps) - 1 else stat.S_ISDIR
        if not wanted(mode):
            raise ModelsError(
                "this part of the model set is a link, or no plain file or folder",
                where=path,
                hint="Links are not followed in a model set: put a copy of the file there.",
            )
    return path
