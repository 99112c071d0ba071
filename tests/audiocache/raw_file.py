"""What a file holds, read past the store's own methods."""


def totals_by_counting(store):
    """What the row of totals ought to say."""
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
