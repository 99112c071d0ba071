"""Infrastructure of all processes: settings, Redis, streams, caches, servers, logs. Knows no app."""
