"""Values of Prometheus metrics in tests."""


def value_of(metric, *labels):
    """The value of a counter or gauge with these label values; 0 when it has none yet."""
    (family,) = metric.collect()
    for sample in family.samples:
        if not sample.name.endswith("_created") and tuple(sample.labels.values()) == labels:
            return sample.value
    return 0
