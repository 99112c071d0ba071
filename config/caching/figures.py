"""Statistics of each cache since the start of this process, read from its metrics."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import REGISTRY

from config.caching.clearing import all_caches
from config.observability.metrics import PREFIX


@dataclass(frozen=True, slots=True)
class Figures:
    name: str
    entries: int
    bytes: int
    max_bytes: int
    hits: int
    stale: int
    misses: int
    rebuilds: int
    rebuild_ms: float | None  # on average
    failures: int
    invalidations: int
    stale_since: datetime | None

    @property
    def hit_percent(self) -> float | None:
        lookups = self.hits + self.stale + self.misses
        return 100 * (self.hits + self.stale) / lookups if lookups else None


def figures() -> list[Figures]:
    read = _read_metrics()
    return [
        _figures_of(name, len(cache), cache.size, cache.max_bytes, read[name])
        for name, cache in all_caches().items()
    ]


def _read_metrics() -> Mapping[str, Mapping[str, float]]:
    """Values by cache and metric; `lookups_total` by outcome, as `lookups_total.hit`."""
    read: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for metric in REGISTRY.collect():
        if metric.name.startswith(f"{PREFIX}_cache_"):
            for sample in metric.samples:
                labels = sample.labels
                if "cache" in labels and "le" not in labels:
                    name = sample.name.removeprefix(f"{PREFIX}_cache_")
                    read[labels["cache"]][".".join(filter(None, (name, labels.get("outcome"))))] = (
                        sample.value
                    )
    return read


def _figures_of(name: str, entries: int, size: int, max_bytes: int, read: Mapping[str, float]) -> Figures:
    timed, since = read["rebuild_seconds_count"], read["stale_since"]
    return Figures(
        name=name,
        entries=entries,
        bytes=size,
        max_bytes=max_bytes,
        hits=int(read["lookups_total.hit"]),
        stale=int(read["lookups_total.stale"]),
        misses=int(read["lookups_total.miss"]),
        rebuilds=int(read["rebuilds_total"]),
        rebuild_ms=1000 * read["rebuild_seconds_sum"] / timed if timed else None,
        failures=int(read["failures_total"]),
        invalidations=int(read["invalidations_total"]),
        stale_since=datetime.fromtimestamp(since, UTC) if since else None,
    )
