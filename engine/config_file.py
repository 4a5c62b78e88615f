"""The TOML file of a live engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.config import EngineConfig


@dataclass(frozen=True, slots=True)
class Credential:
    """Never shown."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    config: EngineConfig  # run_dir: <runs_dir>/<name>, a run folder of that name is to be made
    runs_dir: Path
    credentials: Mapping[str, Credential] = field(repr=False)  # by account's name


def load_config(path: Path, *, run_tag: str, mask_seed: int) -> LoadedConfig:
    """The configuration of the TOML file `path`; TickmakerError names file, line and key.

    `run_tag` and `mask_seed` are the run's, drawn by the caller; `config.run_dir` is runs_dir until
    the caller makes a run folder: `loaded.config.model_copy(update={"run_dir": run_dir})`.
    """
    raise NotImplementedError


def config_sha256(config: EngineConfig) -> str:
    """Of the whole configuration, as canonical JSON: goes in the run folder's config.json."""
    raise NotImplementedError


def limits_sha256(config: EngineConfig) -> str:
    """Of what may never change while it runs: limits, halts, budgets, stops, by instrument key."""
    raise NotImplementedError
