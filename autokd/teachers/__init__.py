"""Frozen networks and other sources of answers, and the cache of what they answered.

A study's `teacher:` section has its room in `autokd.study.teacher`. Read in this order: `sources` (from that section
to a teacher), `answers` (what a teacher must give), `cache` (asked once per sample and view), `scores` (is it better
than chance).
"""
