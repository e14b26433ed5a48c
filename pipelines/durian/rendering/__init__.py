"""The look of a report: sentences, figures and a page, from the numbers of `analysis`."""
