"""Contents of an audio file, by SQL instead of the methods of the store."""


def totals_by_counting(store):
    """The expected totals, summed over the rows."""
    return store.rows(
        "SELECT total(length(data)), count(*), total(length(data) * pinned)"
        " FROM entry JOIN payload USING (id)"
    )[0]


def assert_totals_are_exact(store):
    stats = store.stats()
    assert (stats.bytes, stats.entries, stats.pinned_bytes) == totals_by_counting(store)
    assert store.rows("SELECT count(*) FROM payload") == [(stats.entries,)]


def last_access(store, one):
    return store.rows("SELECT last_access FROM entry WHERE key = ?", (one.key,))[0][0]
