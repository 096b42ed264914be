"""Reading policy files: where they are looked for, and what is said when they cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.policy import config_file, load_policy, load_toml


def test_without_a_directory_the_shipped_policy_is_used() -> None:
    """The wheel's or the checkout's copy is the default, and holds the guide's limits."""
    assert load_policy(None).limits_of("auth", "POST /tokens").p95_ms == 100


def test_a_directory_of_the_operators_wins(tmp_path: Path) -> None:
    """TAILWATCH_CONFIG_DIR replaces the copy, it does not add to it."""
    (tmp_path / "tailwatch.toml").write_text("[sla]\np95_ms = 7\n")
    policy = load_policy(tmp_path)
    assert policy.sla.p95_ms == 7
    assert not policy.services


def test_a_missing_file_is_said_with_its_remedy(tmp_path: Path) -> None:
    """The path, the system's reason and the variable to set."""
    with pytest.raises(ConfigurationError, match=r"tailwatch\.toml cannot be read.*TAILWATCH_CONFIG_DIR"):
        load_policy(tmp_path)


@pytest.mark.parametrize("content", [b"[sla\n", b"a = 1\na = 2\n", b"name = '\xff'\n"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    """Broken syntax, doubled keys and wrong encoding are configuration errors, with the path."""
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"x\.toml is not valid TOML"):
        load_toml(path)


def test_an_unknown_name_is_refused_with_the_file(tmp_path: Path) -> None:
    """A typing error in a limit's name is not silently a default."""
    (tmp_path / "tailwatch.toml").write_text("[sla]\np95ms = 7\n")
    with pytest.raises(ConfigurationError, match=r"tailwatch\.toml: .*p95ms"):
        load_policy(tmp_path)


def test_a_configuration_file_is_looked_for_by_name(tmp_path: Path) -> None:
    """Given a directory, there and nowhere else."""
    assert config_file("recommendations.toml", tmp_path) == tmp_path / "recommendations.toml"
    assert config_file("tailwatch.toml", None).is_file()
