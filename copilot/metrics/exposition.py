"""Metrics as text that Prometheus reads; the only module that knows prometheus-client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from copilot.histogram import Histogram
from copilot.metrics.disk import Disk
from copilot.metrics.queue import Queue
from copilot.metrics.table import PARTS, Kind, Metric, Value

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what `generate_latest` writes

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: Mapping[Kind, type[Family]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


class Exposition:
    """All metrics of one program, and of its process."""

    def __init__(self, sources: Iterable[object]) -> None:
        """`sources` are objects from which parts of the table are read. Raises `TypeError` for one that it does not know."""
        known = {type(source): source for source in sources}
        if strange := known.keys() - {part.source for part in PARTS}:
            raise TypeError(f"no metrics are read from {', '.join(one.__name__ for one in strange)}")
        self._asked = [source for source in known.values() if isinstance(source, (Disk, Queue))]
        self._registry = CollectorRegistry()
        self._registry.register(_Table(known))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def text(self) -> bytes:
        """The values of now."""
        await asyncio.gather(*(source.refresh() for source in self._asked))
        return generate_latest(self._registry)


class _Table(Collector):
    """Reads the values when somebody asks."""

    def __init__(self, sources: Mapping[type, object]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Family]:
        for part in PARTS:
            if part.source in self._sources:
                for metric in part.metrics:
                    yield _family(metric, metric.read(self._sources[part.source]))


def _family(metric: Metric[Any], value: Value) -> Family:
    family = _FAMILIES[metric.kind](metric.name, metric.meaning, labels=metric.labels)
    if not metric.labels:
        _add(family, (), value)
        return family
    assert isinstance(value, Mapping)
    for words, number in {**dict.fromkeys(metric.known, 0), **value}.items():
        _add(family, (words,) if isinstance(words, str) else words, number)
    return family


def _add(family: Family, labels: Iterable[str], value: Any) -> None:
    if isinstance(family, HistogramMetricFamily):
        family.add_metric(list(labels), _buckets(value), value.sum)
    else:
        family.add_metric(list(labels), value)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """How many numbers are not above each limit."""
    limits = (*map(str, map(float, histogram.limits)), "+Inf")
    return list(zip(limits, accumulate(histogram.counts), strict=True))
