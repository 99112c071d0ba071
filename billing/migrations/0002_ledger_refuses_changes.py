"""A trigger that refuses updates and deletes of ledger entries, also from a console."""

from django.db import migrations

# SQLSTATE restrict_violation: Django raises IntegrityError, which consumers do not retry.
REFUSE = """
CREATE FUNCTION billing_ledger_refuses_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: put a wrong charge right by a new entry'
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_is_append_only BEFORE UPDATE OR DELETE ON billing_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION billing_ledger_refuses_changes();
"""
ALLOW = """
DROP TRIGGER ledger_is_append_only ON billing_ledgerentry;
DROP FUNCTION billing_ledger_refuses_changes();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_subscription_and_ledger")]

    operations = [migrations.RunSQL(REFUSE, ALLOW)]
