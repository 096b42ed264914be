"""Where policy files are, and reading them."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tailwatch.contracts.errors import ConfigurationError
from tailwatch.contracts.policy import Policy, parse_policy

POLICY_FILE = "tailwatch.toml"
_PACKAGE = Path(__file__).resolve().parent.parent


def config_file(name: str, config_dir: Path | None) -> Path:
    """Return the path of a configuration file: in ``config_dir``, else the wheel's copy, else the checkout's."""
    if config_dir is not None:
        return config_dir / name
    packaged = _PACKAGE / "config" / name
    return packaged if packaged.exists() else _PACKAGE.parent / "config" / name


def load_toml(path: Path) -> dict[str, object]:
    """Return what a TOML file holds; ConfigurationError when it is missing, unreadable or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): set TAILWATCH_CONFIG_DIR") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error


def load_policy(config_dir: Path | None) -> Policy:
    """Return the policy of ``tailwatch.toml`` in ``config_dir``, or of the packaged copy."""
    path = config_file(POLICY_FILE, config_dir)
    return parse_policy(load_toml(path), name=str(path))
