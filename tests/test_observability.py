"""The dashboard, the alert rules and the page of metrics name what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from ecrate.web.metrics import COUNTERS, HISTOGRAMS
from ecrate.web.scrape import BY_REPOSITORY, GAUGES, LEASES, UP
from tools.observability import DASHBOARD, DOCS, PAGE, render_dashboard, render_page

LABELS: dict[str, set[str]] = {
    **{
        f"{name}_{kind}": set(labels) | ({"le"} if kind == "bucket" else set())
        for name, (_, labels) in HISTOGRAMS.items()
        for kind in ("bucket", "count", "sum")
    },
    **{f"{name}_total": set(labels) for name, (_, labels) in COUNTERS.items()},
    **{name: set() for name, _ in (UP, *GAUGES)},
    **{name: set(labels) for name, _, labels in (LEASES, *BY_REPOSITORY)},
}
# Prometheus gives each sample these.
SCRAPED = {"instance", "job"}


def queries() -> list[str]:
    rules: Any = YAML(typ="safe").load((DOCS / "observability" / "alerts.yaml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [*alerts, *(target["expr"] for panel in panels for target in panel["targets"])]


@pytest.mark.parametrize("query", queries())
def test_query_names_metrics_and_labels_that_exist(query: str) -> None:
    named = set(re.findall(r"ecrate_\w+", query))
    grouped = {
        label.strip()
        for labels in re.findall(r"by \((.*?)\)", query)
        for label in labels.split(",")
    }
    chosen = set(re.findall(r'(\w+)(?:!=|=~|=)"', query))

    assert named <= set(LABELS) or query.startswith("up{")
    assert grouped | chosen <= set().union(SCRAPED, *(LABELS[name] for name in named))


def test_every_alert_tells_what_is_wrong() -> None:
    rules: Any = YAML(typ="safe").load((DOCS / "observability" / "alerts.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]

    assert all(rule["annotations"]["summary"] for rule in alerts)
    assert len({rule["alert"] for rule in alerts}) == len(alerts)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [(PAGE, render_page()), (DASHBOARD, render_dashboard())],
    ids=["page", "dashboard"],
)
def test_generated_file_is_up_to_date(path: Path, wanted: str) -> None:
    assert path.read_text() == wanted, "run `make docs`"
