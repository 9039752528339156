"""What a machine offers: processors, memory, a GPU, its streams, and copies of batches onto it.

Imports: nothing; torch inside functions only. Start reading at ``devices``.
"""
