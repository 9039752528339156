"""The mini DataComp: pictures of package registries, a pool made dirty, filters, a model trained on each selection.

Start reading at ``__main__``, which runs it.
"""
