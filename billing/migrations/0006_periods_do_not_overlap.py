"""The source of each period, and an exclusion constraint against overlapping periods.

The constraint uses the range operators that every PostgreSQL has: the extension btree_gist would let the
columns be compared as they are, but is missing on some servers, and creating it takes a privilege on the
database that the owner of the tables may not have. The range of an account is an interval of length 1 that
ends at its number, since a closed one would overflow for the largest number.
"""

from django.db import migrations, models

EXCLUDE = """
CREATE TYPE billing_text_range AS RANGE (subtype = text);
ALTER TABLE billing_usageperiod ADD CONSTRAINT period_no_overlap EXCLUDE USING gist (
    int8range(user_id - 1, user_id) WITH &&,
    billing_text_range(usage_type, usage_type, '[]') WITH &&,
    tstzrange(start, "end") WITH &&
);
"""
ALLOW = """
ALTER TABLE billing_usageperiod DROP CONSTRAINT period_no_overlap;
DROP TYPE billing_text_range;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_balances")]

    operations = [
        # The index is built under a lock: 400,000 periods, of 12,500 accounts, take about ten seconds.
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.AddField(
            model_name="usageperiod",
            name="source",
            field=models.CharField(
                choices=[("calendar", "Calendar"), ("stripe", "Stripe"), ("trial", "Trial")],
                db_default="calendar",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("usage_type__in", ["standard", "premium", "ocr"])),
                name="period_usage_type_is_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["calendar", "stripe", "trial"])),
                name="period_source_is_known",
            ),
        ),
        migrations.RunSQL(EXCLUDE, ALLOW),
    ]
