"""What can be the matter with a charge, split by what the caller does about it."""


class BillingError(Exception):
    """Base of all."""


class Unreadable(BillingError):
    """No retry makes this entry usage: bury it. The message names the field at fault and quotes nothing."""
