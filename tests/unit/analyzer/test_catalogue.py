"""The catalogue: data that is checked, and that names only what exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest

from services.analyzer.core.catalogue import PLACEHOLDERS, Catalogue, Condition, fields, filled, parse_catalogue
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.contracts.policy import parse_policy
from tailwatch.runtime.metrics import CounterName, GaugeName, HistogramName

ROOT = Path(__file__).parents[3]
RULE: dict[str, Any] = {"when": "operation_over_budget", "title": "T", "issue": "{share}", "actions": ["a"]}


def shipped() -> Catalogue:
    """Return the catalogue that tailwatch ships with."""
    content = tomllib.loads((ROOT / "config" / "recommendations.toml").read_text(encoding="utf-8"))
    return parse_catalogue(content, name="recommendations.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"when": "verdict"}, "needs `verdict`"),
        ({"when": "hot_function"}, "needs `share_percent`"),
        ({"when": "never"}, "when"),
        ({"issue": "{nothing}"}, "unknown placeholder {nothing}"),
        ({"issue": "{share.__class__}"}, "unknown placeholder"),
        ({"issue": "{share!r}"}, "unknown placeholder"),
        ({"issue": "{share:>9999999}"}, "unknown placeholder"),
        ({"issue": "{"}, "'{'"),
        ({"actions": []}, "actions"),
        ({"severity": "urgent"}, "severity"),
        ({"impact": "-50 ms"}, "unknown field `impact`"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_its_reason(change: dict[str, Any], said: str) -> None:
    """One line with the file, the rule and what is wrong; texts reach nothing but the placeholders."""
    with pytest.raises(ConfigurationError) as raised:
        parse_catalogue({"rules": {"json": RULE | change}}, name="recommendations.toml")
    assert str(raised.value).startswith("recommendations.toml: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_text_is_filled_or_left_out() -> None:
    """A value that the capture does not tell leaves the whole text out; values are never read as formats."""
    assert filled("{share} of {title}", {"share": "{title}", "title": "T"}) == "{title} of T"
    assert filled("{share} of {owner}", {"share": "1%"}) is None
    assert filled("{{plain}}", {}) == "{plain}"
    assert fields("{a} {b}") == {"a", "b"}


def test_the_shipped_rules_cover_every_verdict_and_budget() -> None:
    """Each operation with a budget has its rule; each verdict that says what to do has one; impact is never written."""
    rules = shipped().rules
    policy = parse_policy(tomllib.loads((ROOT / "config" / "tailwatch.toml").read_text(encoding="utf-8")), name="p")
    budgeted = {name for name, operation in policy.operations.items() if operation.cpu_budget_percent}
    assert budgeted == {rule.operation for rule in rules.values() if rule.operation}
    assert {str(rule.verdict) for rule in rules.values() if rule.verdict} == {
        "waiting_on_kong",
        "event_loop_blocked",
        "queueing",
        "gc",
        "throttled_cpu",
        "lock",
    }
    assert {rule.when for rule in rules.values()} == set(Condition)


def test_everything_that_the_catalogue_names_exists() -> None:
    """Settings are fields of some service's settings, metrics are exported, files are in the repository."""
    metrics = {name for kind in (CounterName, GaugeName, HistogramName) for name in get_args(kind)}
    settings = {
        name.upper()
        for path in [*ROOT.glob("services/*/settings.py"), *ROOT.glob("tailwatch/*/settings.py")]
        for name in re.findall(r"^    ([a-z][a-z0-9_]+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    for name, rule in shipped().rules.items():
        text = " ".join((rule.title, rule.issue, *rule.actions))
        named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+_(?:total|seconds|in_flight|percent|length)\b", text))
        assert named | ({rule.metric} if rule.metric else set()) <= metrics, name
        assert set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", text)) <= settings, name
        for file in re.findall(r"\b(?:services|tailwatch|config)/[\w./-]+\.\w+", text):
            assert (ROOT / file).exists(), f"{name}: {file}"
        assert "tailwatch " not in text, f"{name} names a command: check that it exists"


def test_placeholders_are_explained() -> None:
    """Whoever writes a rule finds what each placeholder holds."""
    assert all(PLACEHOLDERS.values())
