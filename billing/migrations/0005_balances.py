"""Balances in rows of their own, one for each usage type, instead of columns of the subscription."""

from django.db import migrations, models

TYPES = ["standard", "premium", "ocr"]
CHOICES = [(name, name) for name in TYPES]

# Limits of OCR tokens were only known to plans. Nothing was charged in tokens; entries of OCR in the ledger
# were written before this migration was reversed, and their sums are taken up again.
FILL = """
INSERT INTO billing_balance (user_id, usage_type, "limit", rollover, purchased)
SELECT s.user_id, b.usage_type, b."limit", b.rollover, b.purchased
FROM billing_subscription s
LEFT JOIN billing_plan p ON p.id = s.plan_id
LEFT JOIN (
    SELECT user_id, -sum(from_rollover + to_debt)::bigint AS rollover,
        -sum(from_purchased)::bigint AS purchased
    FROM billing_ledgerentry WHERE usage_type = 'ocr' GROUP BY user_id
) o ON o.user_id = s.user_id
CROSS JOIN LATERAL (VALUES
    ('standard', s.standard_limit, s.standard_rollover, s.standard_purchased),
    ('premium', s.premium_limit, s.premium_rollover, s.premium_purchased),
    ('ocr',
        CASE WHEN p.id IS NOT NULL THEN p.ocr_limit
            WHEN s.standard_limit IS NULL AND s.premium_limit IS NULL THEN NULL ELSE 0 END,
        coalesce(o.rollover, 0), coalesce(o.purchased, 0))
) AS b (usage_type, "limit", rollover, purchased)
ORDER BY s.user_id, b.usage_type;
"""
# Earlier versions do not know the type `ocr`: periods without usage are opened again later.
EMPTY = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM billing_ledgerentry WHERE usage_type = 'ocr' AND kind = 'usage') THEN
        RAISE EXCEPTION 'OCR tokens have been charged, which the earlier schema has no balances for';
    END IF;
END $$;
DELETE FROM billing_usageperiod WHERE usage_type = 'ocr';
UPDATE billing_subscription s SET
    standard_limit = b."limit", standard_rollover = b.rollover, standard_purchased = b.purchased
FROM billing_balance b WHERE b.user_id = s.user_id AND b.usage_type = 'standard';
UPDATE billing_subscription s SET
    premium_limit = b."limit", premium_rollover = b.rollover, premium_purchased = b.purchased
FROM billing_balance b WHERE b.user_id = s.user_id AND b.usage_type = 'premium';
"""
# Writers wait from the copy to the commit, or their changes would be lost with the columns. Readers do not.
LOCK = "SET LOCAL statement_timeout = 0; LOCK TABLE billing_subscription IN EXCLUSIVE MODE;"


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_plans_and_past_usage")]

    operations = [
        migrations.CreateModel(
            name="Balance",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.BigIntegerField()),
                ("usage_type", models.CharField(choices=CHOICES, max_length=16)),
                (
                    "limit",
                    models.BigIntegerField(
                        blank=True, help_text="Characters per period. Empty: unlimited; 0: none.", null=True
                    ),
                ),
                ("rollover", models.BigIntegerField(default=0, help_text="Below 0: debt.")),
                ("purchased", models.BigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("user_id", "usage_type"), name="balance_once"),
                    models.CheckConstraint(
                        condition=models.Q(("usage_type__in", TYPES)), name="balance_usage_type_is_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("limit__gte", 0)), name="balance_limit_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("purchased__gte", 0)), name="balance_purchased_not_negative"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rollover__gte", 0), ("purchased", 0), _connector="OR"),
                        name="balance_debt_is_paid_first",
                    ),
                ],
            },
        ),
        migrations.RunSQL(LOCK + FILL, EMPTY),
        *(
            migrations.RemoveConstraint(model_name="subscription", name=f"subscription_{name}")
            for name in (
                "standard_limit_not_negative",
                "premium_limit_not_negative",
                "standard_purchased_not_negative",
                "premium_purchased_not_negative",
                "standard_debt_is_paid_first",
                "premium_debt_is_paid_first",
            )
        ),
        *(
            migrations.RemoveField(model_name="subscription", name=f"{usage_type}_{column}")
            for usage_type in ("standard", "premium")
            for column in ("limit", "rollover", "purchased")
        ),
        migrations.RunSQL(migrations.RunSQL.noop, LOCK),  # the first step of the reverse
        *(
            migrations.AlterField(
                model_name=model_name,
                name="usage_type",
                field=models.CharField(choices=CHOICES, max_length=16),
            )
            for model_name in ("ledgerentry", "usageday", "usageperiod")
        ),
    ]
