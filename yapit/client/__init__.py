"""Listens to Yapit from a program. Needs no Django: other programs may take this package with them."""
