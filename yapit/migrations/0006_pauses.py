"""Pauses after blocks. Blocks of earlier versions get the pause of a sentence."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("yapit", "0005_variants_by_their_bytes")]

    operations = [
        # A constant default: PostgreSQL adds the column without a rewrite of the table.
        migrations.AddField(
            model_name="block",
            name="pause_ms",
            field=models.PositiveSmallIntegerField(
                default=250,
                help_text="Silence after the block, in milliseconds.",
            ),
        ),
    ]
