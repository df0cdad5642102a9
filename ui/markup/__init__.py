"""HTML of pages and reports: templates that escape everything, one style sheet, charts as SVG."""
