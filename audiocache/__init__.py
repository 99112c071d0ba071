"""Storage of audio by hash. Knows no user, document or plan."""
