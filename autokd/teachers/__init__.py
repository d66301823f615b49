"""Frozen networks and other sources of answers, and the cache of what they answered.

Read in this order: `spec` (a study's `teacher:` section), `sources` (from a section to a teacher), `answers`
(what a teacher must give), `cache` (asked once per sample and view), `scores` (is it better than chance).
"""
