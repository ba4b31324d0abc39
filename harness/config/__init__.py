"""Every setting as a typed, validated dataclass: one per component, one per command.

A component is a pair: the dataclass in this room, registered under its group and kind, and the
class that it names as `implementation`. A bad value raises `BadInputError` before anything is
loaded.
"""

from harness.components import ComponentConfig, build, identity, parse, parse_component
from harness.config.alignment import (
    AutoHeadConfig,
    IdentityHeadConfig,
    LinearHeadConfig,
    LmHeadConfig,
    MlmHeadConfig,
    RidgeHeadConfig,
    TiedHeadConfig,
)
from harness.config.analysis import AnalyzeConfig, SpectrumConfig, StudyConfig
from harness.config.approximate import FaissHnswConfig, FaissIvfConfig, SeismicConfig
from harness.config.commands import (
    EncoderRunConfig,
    InspectConfig,
    ReportConfig,
    RunConfig,
)
from harness.config.compare import CompareConfig
from harness.config.derived_heads import (
    CompressedHeadConfig,
    DerivedHeadConfig,
    WholeWordHeadConfig,
    innermost_head,
)
from harness.config.embedding import (
    AutoInstructionConfig,
    AutoPoolingConfig,
    BosPoolingConfig,
    ClsPoolingConfig,
    EchoPoolingConfig,
    EosPoolingConfig,
    InstructionConfig,
    LastTokenPoolingConfig,
    MaxPoolingConfig,
    MeanPoolingConfig,
    ModelConfig,
    PoolingConfig,
    SpladePoolingConfig,
    TransformersBackendConfig,
    WeightedMeanPoolingConfig,
)
from harness.config.evaluation import CostConfig, TasksConfig
from harness.config.export import ExportConfig
from harness.config.plan import PlanConfig
from harness.config.ray import RayBackendConfig
from harness.config.regress import RegressConfig
from harness.config.retrieval import (
    AlignedSparseConfig,
    Bm25Config,
    DenseConfig,
    HybridConfig,
    RetrievalConfig,
)
from harness.config.stages import StagesConfig
from harness.config.status import StatusConfig
from harness.config.sweep import SweepConfig
from harness.config.training import TrainConfig, TrainingStagesConfig
from harness.config.training_steps import (
    ContrastiveConfig,
    EmbeddingStepConfig,
    MaskingConfig,
    MntpConfig,
    PretrainConfig,
    SimcseConfig,
    StepConfig,
)
from harness.config.transform import (
    AllButTopConfig,
    CenterConfig,
    EmbedFilterConfig,
    FirstComponentConfig,
    NoTransformConfig,
)
from harness.config.vllm import VllmBackendConfig

# Who parses a configuration needs the dataclasses registered, so the functions are had here.
__all__ = [
    "AlignedSparseConfig",
    "AllButTopConfig",
    "AnalyzeConfig",
    "AutoHeadConfig",
    "AutoInstructionConfig",
    "AutoPoolingConfig",
    "Bm25Config",
    "BosPoolingConfig",
    "CenterConfig",
    "ClsPoolingConfig",
    "CompareConfig",
    "ComponentConfig",
    "CompressedHeadConfig",
    "ContrastiveConfig",
    "CostConfig",
    "DenseConfig",
    "DerivedHeadConfig",
    "EchoPoolingConfig",
    "EmbedFilterConfig",
    "EmbeddingStepConfig",
    "EncoderRunConfig",
    "EosPoolingConfig",
    "ExportConfig",
    "FaissHnswConfig",
    "FaissIvfConfig",
    "FirstComponentConfig",
    "HybridConfig",
    "IdentityHeadConfig",
    "InspectConfig",
    "InstructionConfig",
    "LastTokenPoolingConfig",
    "LinearHeadConfig",
    "LmHeadConfig",
    "MaskingConfig",
    "MaxPoolingConfig",
    "MeanPoolingConfig",
    "MlmHeadConfig",
    "MntpConfig",
    "ModelConfig",
    "NoTransformConfig",
    "PlanConfig",
    "PoolingConfig",
    "PretrainConfig",
    "RayBackendConfig",
    "RegressConfig",
    "ReportConfig",
    "RetrievalConfig",
    "RidgeHeadConfig",
    "RunConfig",
    "SeismicConfig",
    "SimcseConfig",
    "SpectrumConfig",
    "SpladePoolingConfig",
    "StagesConfig",
    "StatusConfig",
    "StepConfig",
    "StudyConfig",
    "SweepConfig",
    "TasksConfig",
    "TiedHeadConfig",
    "TrainConfig",
    "TrainingStagesConfig",
    "TransformersBackendConfig",
    "VllmBackendConfig",
    "WeightedMeanPoolingConfig",
    "WholeWordHeadConfig",
    "build",
    "identity",
    "innermost_head",
    "parse",
    "parse_component",
]
