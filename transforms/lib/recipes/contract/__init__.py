"""What every step keeps: the contract of a step, and solved states as JSON.

Imports: ``columnstore``, ``stats``. Start reading at ``step``.
"""
