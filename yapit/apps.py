from django.apps import AppConfig


class YapitConfig(AppConfig):
    name = "yapit"
