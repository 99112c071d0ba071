"""What can be the matter with a charge or a balance, split by what the caller does about it."""


class BillingError(Exception):
    """Base of all."""


class Unreadable(BillingError):
    """No retry makes this entry usage: bury it. The message names the field at fault and quotes nothing."""


class NoSubscription(BillingError):
    """The account has no row to change: it is gone, or was never given one."""
