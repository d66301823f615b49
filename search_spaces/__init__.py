"""Search spaces that come with AutoKD, found by entry point as any plug-in; they need only torch.

Each file stands alone, so that any of them can be copied as the start of another space. `nni`, `hf` and `timm` bring
networks of other libraries, which are imported when one is asked for; `hf` and `timm` share `picks`.
"""
