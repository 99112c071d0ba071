"""How processes run; knows no domain."""
