"""Search spaces that come with AutoKD, found by entry point as any plug-in; they need only torch.

Each space is one file. `names` holds what gives layers their names, and `picks` what settings mean. `nni`, `hf` and
`timm` bring networks of other libraries, which are imported when one is asked for.
"""
