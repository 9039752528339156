"""The kinds of input: what a shard may be, each as one stream of tar bytes with the same samples every time.

Imports: ``samples``, ``tar``. Start reading at ``input_kind``; ``input_kinds`` finds the kind of an address.
"""
