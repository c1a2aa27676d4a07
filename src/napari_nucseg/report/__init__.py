"""Summaries and runs as people read them: text, Markdown, LaTeX, pages and plots."""
