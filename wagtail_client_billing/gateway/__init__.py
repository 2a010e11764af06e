"""Everything that talks to Stripe. Plain data leaves this room, never a Stripe object.

Nothing here may be called inside a database transaction: a network call there would hold locks
for as long as Stripe likes to take.
"""
