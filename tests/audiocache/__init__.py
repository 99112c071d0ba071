"""Tests of audiocache."""
