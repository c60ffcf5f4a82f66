"""Writes `docs/reference/metrics.md` and the Grafana dashboard from the metrics themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ecrate.web.metrics import COUNTERS, HISTOGRAMS
from ecrate.web.scrape import BY_REPOSITORY, GAUGES, LEASES, UP

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = DOCS / "reference" / "metrics.md"
DASHBOARD: Final = DOCS / "observability" / "dashboard.json"
_HEAD: Final = """\
# Metrics

`/metrics`, in Prometheus' text format; who may read it is the setting `metrics`, see [watch over
it](../howto/watch-over-it.md). Histograms and counters are added up over a server's workers and
begin anew with it; gauges are of the whole installation, the same on every node. Those of
repositories are there with the setting `metrics_repositories`. This page is generated.

| metric | kind | labels | what it tells |
| --- | --- | --- | --- |
"""
# Title, unit, query.
_PANELS: Final = (
    (
        "Requests by operation",
        "reqps",
        "sum by (operation) (rate(ecrate_request_seconds_count[5m]))",
    ),
    (
        "Requests that were not answered well",
        "reqps",
        'sum by (operation, outcome) (rate(ecrate_request_seconds_count{outcome!="ok"}[5m]))',
    ),
    (
        "Latency, 99 %",
        "s",
        "histogram_quantile(0.99, sum by (operation, le)(rate(ecrate_request_seconds_bucket[5m])))",
    ),
    ("Bytes in", "Bps", "sum by (door) (rate(ecrate_received_bytes_total[5m]))"),
    ("Bytes out", "Bps", "sum by (door) (rate(ecrate_sent_bytes_total[5m]))"),
    (
        "Transactions, 99 %",
        "s",
        "histogram_quantile(0.99, sum by (kind, le) (rate(ecrate_database_seconds_bucket[5m])))",
    ),
    (
        "Steps of the blob store, 99 %",
        "s",
        "histogram_quantile(0.99, sum by (step, le) (rate(ecrate_blobs_seconds_bucket[5m])))",
    ),
    (
        "Transactions that failed",
        "ops",
        'sum by (kind) (rate(ecrate_database_seconds_count{outcome="failed"}[5m]))',
    ),
    (
        "Steps of the blob store that failed",
        "ops",
        'sum by (step) (rate(ecrate_blobs_seconds_count{outcome="failed"}[5m]))',
    ),
    ("Uploads that are open", "short", "ecrate_uploads_open"),
    ("Bytes in quarantine", "bytes", "ecrate_quarantine_bytes"),
    ("Waiting for the collector", "short", "ecrate_layers_lapsed + ecrate_blobs_unlinked"),
    (
        "Background work",
        "short",
        "sum by (job, outcome) (rate(ecrate_job_seconds_count[5m]))",
    ),
    ("Repositories", "short", "ecrate_repositories"),
    ("Largest repositories", "bytes", "topk(10, ecrate_repository_bytes)"),
)


def render_page() -> str:
    """Give the table of all metrics."""
    rows = [
        *((name, "histogram", labels, text) for name, (text, labels) in HISTOGRAMS.items()),
        *((f"{name}_total", "counter", labels, text) for name, (text, labels) in COUNTERS.items()),
        *((name, "gauge", (), text) for name, text in (UP, *GAUGES)),
        *((name, "gauge", labels, text) for name, text, labels in (LEASES, *BY_REPOSITORY)),
    ]
    lines = (f"| `{n}` | {kind} | {', '.join(labels)} | {text} |" for n, kind, labels, text in rows)
    return _HEAD + "\n".join(lines) + "\n"


def render_dashboard() -> str:
    """Give Grafana's dashboard as JSON."""
    panels = [_panel(number, *panel) for number, panel in enumerate(_PANELS)]
    dashboard = {
        "title": "ecrate",
        "uid": "ecrate",
        "tags": ["ecrate"],
        "timezone": "browser",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": panels,
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panel(number: int, title: str, unit: str, query: str) -> dict[str, Any]:
    return {
        "id": number + 1,
        "title": title,
        "type": "timeseries",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "expr": query}],
    }


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
    DASHBOARD.write_text(render_dashboard(), encoding="utf-8")
