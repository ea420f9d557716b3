"""What a training run is told, and what a model set on disk says of itself; read without torch."""

from .checking import Plain, from_plain
from .manifest import (
    MANIFEST,
    configuration,
    delete_models,
    denoiser_file,
    embedding_file,
    flow_file,
    layers_with_flows,
    list_models,
    read_manifest,
    summary,
    trained_patch_size,
    unrelated_file,
    write_manifest,
)
from .question import DEFAULT_TOLERANCE, Question
from .reading import config_from_dict, customized, preset, read_config
from .settings import (
    DOMAINS,
    PRESETS,
    Config,
    DataConfig,
    DenoiserConfig,
    Domain,
    EmbeddingConfig,
    FlowConfig,
)

__all__ = [
    "DEFAULT_TOLERANCE",
    "DOMAINS",
    "MANIFEST",
    "PRESETS",
    "Config",
    "DataConfig",
    "DenoiserConfig",
    "Domain",
    "EmbeddingConfig",
    "FlowConfig",
    "Plain",
    "Question",
    "config_from_dict",
    "configuration",
    "customized",
    "delete_models",
    "denoiser_file",
    "embedding_file",
    "flow_file",
    "from_plain",
    "layers_with_flows",
    "list_models",
    "preset",
    "read_config",
    "read_manifest",
    "summary",
    "trained_patch_size",
    "unrelated_file",
    "write_manifest",
]
