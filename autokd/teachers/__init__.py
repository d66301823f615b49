"""Frozen networks and other sources of answers, and the cache of what they answered.

`autokd.study.teacher` reads a study's `teacher:` section. Read this package in the following order: `sources` makes a
teacher from that section, `answers` says what a teacher must give, `cache` asks it once per sample and view, and
`scores` tells whether it is better than chance.
"""
