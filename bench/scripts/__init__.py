"""The least that each job can cost in Python: what one would write by hand, and hope for the best.

Values are taken out and upserted as they came. Nothing is checked, rejected, compared or accounted
for; nothing can be resumed; every column is text, so that PostgreSQL refuses nothing either.
"""
