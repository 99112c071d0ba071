"""Plans, usage by period, day and month, and what each ledger entry was taken from."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import billing.models

# What was charged so far came out of the limit: there was nothing else.
FILL_PARTS = """
ALTER TABLE billing_ledgerentry DISABLE TRIGGER ledger_is_append_only;
UPDATE billing_ledgerentry SET from_subscription = cost;
ALTER TABLE billing_ledgerentry ENABLE TRIGGER ledger_is_append_only;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0002_ledger_refuses_changes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Plan",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("slug", models.SlugField(max_length=32, unique=True)),
                ("name", models.CharField(max_length=64)),
                (
                    "rank",
                    models.PositiveSmallIntegerField(default=0, help_text="Plans of higher rank offer more."),
                ),
                (
                    "standard_limit",
                    models.BigIntegerField(
                        blank=True, help_text="Characters per period. Empty: unlimited; 0: none.", null=True
                    ),
                ),
                (
                    "premium_limit",
                    models.BigIntegerField(
                        blank=True, help_text="Characters per period. Empty: unlimited; 0: none.", null=True
                    ),
                ),
                (
                    "ocr_limit",
                    models.BigIntegerField(
                        blank=True, help_text="Tokens per period. Empty: unlimited; 0: none.", null=True
                    ),
                ),
                ("monthly_cents", models.PositiveIntegerField(default=0)),
                ("yearly_cents", models.PositiveIntegerField(default=0)),
                ("trial_days", models.PositiveSmallIntegerField(default=0)),
                (
                    "is_active",
                    models.BooleanField(default=True, help_text="Offered to accounts that do not have it."),
                ),
            ],
            options={
                "ordering": ["rank", "slug"],
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.BigIntegerField()),
                ("model", models.CharField(max_length=200)),
                ("voice", models.CharField(max_length=200)),
                ("events", models.BigIntegerField()),
                ("characters", models.BigIntegerField(help_text="Code points of the spoken text.")),
                ("cost", models.BigIntegerField(help_text="Characters charged.")),
                ("duration_ms", models.BigIntegerField()),
                ("day", models.DateField()),
                (
                    "usage_type",
                    models.CharField(
                        choices=[("standard", "standard"), ("premium", "premium")], max_length=16
                    ),
                ),
            ],
            options={
                "db_table": "usage_day",
            },
        ),
        migrations.CreateModel(
            name="UsagePeriod",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.BigIntegerField()),
                (
                    "usage_type",
                    models.CharField(
                        choices=[("standard", "standard"), ("premium", "premium")], max_length=16
                    ),
                ),
                ("start", models.DateTimeField()),
                ("end", models.DateTimeField()),
                (
                    "limit",
                    models.BigIntegerField(
                        blank=True, help_text="Characters per period. Empty: unlimited; 0: none.", null=True
                    ),
                ),
                ("used", models.BigIntegerField(default=0, help_text="Characters charged to the limit.")),
                (
                    "total",
                    models.BigIntegerField(
                        default=0, help_text="Characters used, whether charged to the limit or to balances."
                    ),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("rollover_before", models.BigIntegerField(default=0)),
                ("carried", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="VoiceMonth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("user_id", models.BigIntegerField()),
                ("model", models.CharField(max_length=200)),
                ("voice", models.CharField(max_length=200)),
                ("events", models.BigIntegerField()),
                ("characters", models.BigIntegerField(help_text="Code points of the spoken text.")),
                ("cost", models.BigIntegerField(help_text="Characters charged.")),
                ("duration_ms", models.BigIntegerField()),
                ("month", models.DateField(help_text="The first day of the month.")),
            ],
            options={
                "verbose_name": "voice statistics",
                "verbose_name_plural": "voice statistics",
            },
        ),
        migrations.AlterModelOptions(
            name="ledgerentry",
            options={"ordering": ["-occurred_at", "-id"], "verbose_name_plural": "ledger entries"},
        ),
        migrations.RemoveConstraint(
            model_name="ledgerentry",
            name="ledger_cost_rounded_up_once",
        ),
        migrations.RemoveConstraint(
            model_name="subscription",
            name="subscription_standard_used_not_negative",
        ),
        migrations.RemoveConstraint(
            model_name="subscription",
            name="subscription_premium_used_not_negative",
        ),
        migrations.RemoveField(
            model_name="subscription",
            name="premium_used",
        ),
        migrations.RemoveField(
            model_name="subscription",
            name="standard_used",
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="from_purchased",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="from_rollover",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="from_subscription",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="kind",
            field=models.CharField(
                choices=[
                    ("usage", "Usage"),
                    ("grant", "Grant"),
                    ("correction", "Correction"),
                    ("rollover", "Rollover"),
                ],
                default="usage",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="operator",
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="reason",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="to_debt",
            field=models.BigIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.RunSQL(FILL_PARTS, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="subscription",
            name="premium_purchased",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="subscription",
            name="premium_rollover",
            field=models.BigIntegerField(default=0, help_text="Below 0: debt."),
        ),
        migrations.AddField(
            model_name="subscription",
            name="standard_purchased",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="subscription",
            name="standard_rollover",
            field=models.BigIntegerField(default=0, help_text="Below 0: debt."),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="cost",
            field=models.BigIntegerField(help_text="Characters charged; negative if they were given."),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="hash",
            field=models.CharField(blank=True, max_length=64, verbose_name="variant hash"),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="model",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="recorded_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
        ),
        migrations.AlterField(
            model_name="ledgerentry",
            name="voice",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="subscription",
            name="premium_limit",
            field=models.BigIntegerField(
                blank=True,
                default=billing.models.default_limit,
                help_text="Characters per period. Empty: unlimited; 0: none.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="subscription",
            name="standard_limit",
            field=models.BigIntegerField(
                blank=True,
                default=billing.models.default_limit,
                help_text="Characters per period. Empty: unlimited; 0: none.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["voice", "occurred_at"], name="ledger_of_voice"),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["model", "occurred_at"], name="ledger_of_model"),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["usage_type", "occurred_at"], name="ledger_of_type"),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(
                condition=models.Q(("kind", "usage"), _negated=True),
                fields=["kind", "occurred_at"],
                name="ledger_not_usage",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "usage"), _negated=True),
                    (
                        "cost",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("characters"), "*", models.F("multiplier_bp")
                                ),
                                "+",
                                models.Value(9999),
                            ),
                            "/",
                            models.Value(10000),
                        ),
                    ),
                    _connector="OR",
                ),
                name="ledger_cost_rounded_up_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "cost",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("from_subscription"), "+", models.F("from_rollover")
                                ),
                                "+",
                                models.F("from_purchased"),
                            ),
                            "+",
                            models.F("to_debt"),
                        ),
                    )
                ),
                name="ledger_parts_add_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "usage"), _negated=True),
                    models.Q(
                        ("from_purchased__gte", 0),
                        ("from_rollover__gte", 0),
                        ("from_subscription__gte", 0),
                        ("to_debt__gte", 0),
                    ),
                    _connector="OR",
                ),
                name="ledger_usage_takes",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind__in", ["grant", "correction"]), _negated=True),
                    models.Q(
                        models.Q(("reason", ""), _negated=True), models.Q(("operator", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="ledger_changes_have_reason_and_operator",
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("standard_limit__gte", 0)), name="plan_standard_limit_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("premium_limit__gte", 0)), name="plan_premium_limit_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=models.Q(("ocr_limit__gte", 0)), name="plan_ocr_limit_not_negative"
            ),
        ),
        migrations.AddField(
            model_name="subscription",
            name="plan",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: no plan, only the limits below.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="billing.plan",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("standard_purchased__gte", 0)),
                name="subscription_standard_purchased_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("premium_purchased__gte", 0)),
                name="subscription_premium_purchased_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("standard_rollover__gte", 0), ("standard_purchased", 0), _connector="OR"),
                name="subscription_standard_debt_is_paid_first",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("premium_rollover__gte", 0), ("premium_purchased", 0), _connector="OR"),
                name="subscription_premium_debt_is_paid_first",
            ),
        ),
        migrations.AddIndex(
            model_name="usageday",
            index=models.Index(fields=["day"], name="usage_day_by_day"),
        ),
        migrations.AddConstraint(
            model_name="usageday",
            constraint=models.UniqueConstraint(
                fields=("user_id", "day", "usage_type", "model", "voice"), name="usage_day_once"
            ),
        ),
        migrations.AddIndex(
            model_name="usageperiod",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True)), fields=["end"], name="period_to_close"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.UniqueConstraint(fields=("user_id", "usage_type", "start"), name="period_once"),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("start__lt", models.F("end"))), name="period_ends_after_its_start"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("limit__gte", 0)), name="period_limit_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("used__gte", 0)), name="period_used_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("total__gte", 0)), name="period_total_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("carried__gte", 0)), name="period_carried_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="voicemonth",
            index=models.Index(fields=["month"], name="voice_month_by_month"),
        ),
        migrations.AddConstraint(
            model_name="voicemonth",
            constraint=models.UniqueConstraint(
                fields=("user_id", "month", "model", "voice"), name="voice_month_once"
            ),
        ),
    ]
