"""Entries and payloads apart from each other, and the totals as one row."""

from django.db import migrations, models


def add_the_row_of_totals(apps, schema_editor):
    stat = apps.get_model("audiocache", "Stat")
    stat.objects.using(schema_editor.connection.alias).create(id=1)


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("key", models.BinaryField(max_length=32, unique=True, verbose_name="hash")),
                ("size", models.PositiveIntegerField(help_text="bytes of audio")),
                ("sha256", models.BinaryField(max_length=32, verbose_name="checksum of the audio")),
                ("meta", models.BinaryField(verbose_name="header")),
                ("created_at", models.PositiveBigIntegerField(help_text="milliseconds since 1970")),
                ("last_access", models.PositiveBigIntegerField(help_text="milliseconds since 1970")),
                ("pinned", models.PositiveSmallIntegerField(default=0, help_text="1: never evicted")),
            ],
            options={
                "verbose_name_plural": "entries",
                "db_table": "entry",
                "indexes": [
                    models.Index(
                        fields=["last_access", "id", "size"],
                        condition=models.Q(("pinned", 0)),
                        name="entry_by_age",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Payload",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("data", models.BinaryField()),
            ],
            options={"db_table": "payload"},
        ),
        migrations.CreateModel(
            name="Stat",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("bytes", models.PositiveBigIntegerField(default=0)),
                ("n", models.PositiveBigIntegerField(default=0, verbose_name="entries")),
                ("pinned_bytes", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "db_table": "stat",
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="stat_is_one_row")
                ],
            },
        ),
        migrations.RunPython(add_the_row_of_totals, migrations.RunPython.noop),
    ]
