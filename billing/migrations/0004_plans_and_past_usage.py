"""Plans, and sums of existing ledger entries. Repeatable: existing rows are kept."""

from django.db import migrations

PLANS = [
    # slug, name, standard, premium, OCR tokens, monthly and yearly cents, trial days, offered
    ("free", "Free", 0, 0, 0, 0, 0, 0, True),
    ("voice", "Voice", None, 0, 0, 300, 2_700, 3, True),
    ("basic", "Basic", None, 0, 5_000_000, 1_000, 9_000, 3, True),
    ("plus", "Plus", None, 0, 10_000_000, 2_000, 18_000, 3, False),
    ("max", "Max", None, 0, 15_000_000, 4_000, 36_000, 0, False),
    ("self-hosted", "Self-hosted", None, None, None, 0, 0, 0, False),
]

MONTH = "date_trunc('month', occurred_at, 'UTC')"
NEXT_MONTH = f"(({MONTH} AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'"
SUM_UP = f"""
INSERT INTO billing_usageperiod
    (user_id, usage_type, start, "end", "limit", used, total, closed_at, rollover_before, carried)
SELECT l.user_id, l.usage_type, {MONTH}, {NEXT_MONTH},
    CASE l.usage_type WHEN 'premium' THEN s.premium_limit ELSE s.standard_limit END,
    sum(l.from_subscription), sum(l.cost), CASE WHEN {NEXT_MONTH} <= now() THEN now() END, 0, 0
FROM billing_ledgerentry l LEFT JOIN billing_subscription s ON s.user_id = l.user_id
GROUP BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING;
INSERT INTO usage_day (user_id, day, usage_type, model, voice, events, characters, cost, duration_ms)
SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, usage_type, model, voice,
    count(*), sum(characters), sum(cost), sum(duration_ms)
FROM billing_ledgerentry GROUP BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING;
INSERT INTO billing_voicemonth (user_id, month, model, voice, events, characters, cost, duration_ms)
SELECT user_id, ({MONTH} AT TIME ZONE 'UTC')::date, model, voice,
    count(*), sum(characters), sum(cost), sum(duration_ms)
FROM billing_ledgerentry GROUP BY 1, 2, 3, 4 ON CONFLICT DO NOTHING;
"""  # noqa: S608  # our own names


def make_plans(apps, schema_editor):
    plan_model = apps.get_model("billing", "Plan")
    for rank, (slug, name, standard, premium, ocr, monthly, yearly, trial, offered) in enumerate(PLANS):
        plan_model.objects.get_or_create(
            slug=slug,
            defaults={
                "name": name,
                "rank": rank,
                "standard_limit": standard,
                "premium_limit": premium,
                "ocr_limit": ocr,
                "monthly_cents": monthly,
                "yearly_cents": yearly,
                "trial_days": trial,
                "is_active": offered,
            },
        )


def assign_plan_to_unlimited_accounts(apps, schema_editor):
    plan = apps.get_model("billing", "Plan").objects.get(slug="self-hosted")
    unlimited = apps.get_model("billing", "Subscription").objects.filter(
        plan=None, standard_limit=None, premium_limit=None
    )
    unlimited.update(plan=plan)


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_plans_periods_and_sums")]

    operations = [
        migrations.RunPython(make_plans, migrations.RunPython.noop),
        migrations.RunPython(assign_plan_to_unlimited_accounts, migrations.RunPython.noop),
        migrations.RunSQL(SUM_UP, migrations.RunSQL.noop),
    ]
