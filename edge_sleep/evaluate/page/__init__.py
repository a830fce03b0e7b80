"""The morning page: one HTML file about one night, readable on a phone, that asks no network and runs no script.

`gather` collects, `render` is a pure function of what was collected; `markup` is the only place where text becomes markup.
"""
