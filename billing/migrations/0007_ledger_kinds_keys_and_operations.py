"""Ledger: more kinds, the API key and the operation behind an entry, wider ids, and no TRUNCATE.

No step reads or rewrites the rows, so the locks last for a moment on a ledger of any size: the new columns
are empty, `varchar` only becomes wider, and the constraints are validated by migration 0008.
"""

from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

KINDS = ["usage", "grant", "correction", "rollover", "purchase", "refund", "dispute", "expiry"]

# The function raises in its first statement, so it serves statement triggers as well.
REFUSE_TRUNCATE = """
CREATE TRIGGER ledger_refuses_truncate BEFORE TRUNCATE ON billing_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION billing_ledger_refuses_changes();
"""
ALLOW_TRUNCATE = "DROP TRIGGER ledger_refuses_truncate ON billing_ledgerentry;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_periods_do_not_overlap")]

    operations = [
        migrations.AddField(
            model_name="ledgerentry",
            name="api_key",
            field=models.CharField(
                blank=True,
                help_text="Public id of the key that caused the usage; empty: none did.",
                max_length=255,
                null=True,
                verbose_name="API key",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="operation_id",
            field=models.CharField(blank=True, max_length=255, null=True),
        ),
        migrations.AlterField(
            model_name="ledgerentry", name="event_id", field=models.CharField(max_length=255)
        ),
        migrations.AlterField(
            model_name="ledgerentry", name="operator", field=models.CharField(blank=True, max_length=255)
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[(kind, kind.capitalize()) for kind in KINDS], default="usage", max_length=16
            ),
        ),
        AddConstraintNotValid(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", KINDS)), name="ledger_kind_is_known"
            ),
        ),
        AddConstraintNotValid(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind__in", ["purchase", "refund", "dispute"]), _negated=True),
                    ("operation_id__isnull", False),
                    _connector="OR",
                ),
                name="ledger_payments_have_an_operation_id",
            ),
        ),
        migrations.RunSQL(REFUSE_TRUNCATE, ALLOW_TRUNCATE),
    ]
