"""Pages for a person: the template environment, code in colours, one style; they know no run.

All text of rows, sources and models is hostile. Templates escape whatever is put into them; only what `pages.code`
returns is marked as HTML. No page loads anything from elsewhere.
"""
