"""Daphne and uvicorn, made to behave alike: same limits, same guards, same end."""
