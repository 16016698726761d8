"""Errors that are the user's to mend."""


class UserError(RuntimeError):
    """Something in what the user gave is wrong, and the message says what.

    The command line tools show the message alone, without a traceback.
    """
