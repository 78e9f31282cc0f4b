"""What was seen of links and calls, graded and in words: never what is configured.

The service observes (`observing`) and grades (`grading`); `siax status` asks it over a socket and
shows the answer (`commands`, `view`). Numbers and callers are in none of it.
"""
