"""Steps that read the whole ledger, without locks that a charge would wait for.

Not one transaction. Repeatable: after an interruption, the same steps run again.
"""

from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models

OPERATION_ONCE = models.UniqueConstraint(
    condition=models.Q(("operation_id__isnull", False)),
    fields=("operation_id", "user_id", "usage_type"),
    name="ledger_operation_once",
)
CREATE = """
CREATE UNIQUE INDEX CONCURRENTLY ledger_operation_once
    ON billing_ledgerentry (operation_id, user_id, usage_type) WHERE operation_id IS NOT NULL
"""
# Also before CREATE, which leaves an invalid index when it is interrupted.
DROP = "DROP INDEX CONCURRENTLY IF EXISTS ledger_operation_once"
LIFT_TIMEOUTS = ["SET statement_timeout = 0", "SET lock_timeout = 0"]
RESET_TIMEOUTS = ["RESET statement_timeout", "RESET lock_timeout"]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("billing", "0007_ledger_kinds_keys_and_operations")]

    operations = [
        migrations.RunSQL(LIFT_TIMEOUTS, RESET_TIMEOUTS),
        migrations.RunSQL(
            [DROP, CREATE],
            [DROP],
            state_operations=[migrations.AddConstraint(model_name="ledgerentry", constraint=OPERATION_ONCE)],
        ),
        ValidateConstraint(model_name="ledgerentry", name="ledger_kind_is_known"),
        ValidateConstraint(model_name="ledgerentry", name="ledger_payments_have_an_operation_id"),
        migrations.RunSQL(RESET_TIMEOUTS, LIFT_TIMEOUTS),
    ]
