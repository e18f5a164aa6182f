"""Metrics as text that Prometheus reads; the only module that knows prometheus-client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from copilot.metrics.table import METRICS, Kind, Metric, Sources

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes

Family = CounterMetricFamily | GaugeMetricFamily
_FAMILIES: Mapping[Kind, type[Family]] = {Kind.COUNTER: CounterMetricFamily, Kind.GAUGE: GaugeMetricFamily}


class Exposition:
    """All metrics of one manager, and of its process."""

    def __init__(self, sources: Sources) -> None:
        self._queue = sources.queue
        self._registry = CollectorRegistry()
        self._registry.register(_Table(sources))
        ProcessCollector(registry=self._registry)

    async def text(self) -> bytes:
        """The values of now."""
        await self._queue.refresh()
        return generate_latest(self._registry)


class _Table(Collector):
    """Reads the values when somebody asks."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        return (_family(metric, metric.read(self._sources)) for metric in METRICS)


def _family(metric: Metric, value: float | Mapping[str, int]) -> Family:
    family = _FAMILIES[metric.kind](
        metric.name, metric.meaning, labels=[metric.label] if metric.label else []
    )
    if isinstance(value, Mapping):
        for word, number in {**dict.fromkeys(metric.known, 0), **value}.items():
            family.add_metric([word], number)
    else:
        family.add_metric([], value)
    return family
