"""One self-contained HTML page of all results: `reidkit report -o report.html`."""
