"""The HTTP side under /v1: doors that translate and delegate."""
