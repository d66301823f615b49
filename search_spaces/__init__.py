"""The search spaces that come with AutoKD. They need only torch, and AutoKD finds them by entry point.

Each file stands alone, so you can copy any of them as the start of your own space. `nni`, `hf` and `timm` search
networks of other libraries and import these only when such a space is used; `hf` and `timm` share `picks`.
"""
