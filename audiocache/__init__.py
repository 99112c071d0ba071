"""Bytes by hash; knows no user, document or plan."""
