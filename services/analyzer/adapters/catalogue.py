"""The catalogue of recommendations, read from ``recommendations.toml``."""

from __future__ import annotations

from pathlib import Path

from services.analyzer.core.catalogue import Catalogue, parse_catalogue
from tailwatch.runtime.policy import config_file, load_toml

CATALOGUE_FILE = "recommendations.toml"


def load_catalogue(config_dir: Path | None) -> Catalogue:
    """Return the catalogue in ``config_dir``, or the packaged copy."""
    path = config_file(CATALOGUE_FILE, config_dir)
    return parse_catalogue(load_toml(path), name=str(path))
