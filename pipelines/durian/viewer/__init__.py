"""Look at every sample of a run: a server for one person's browser, and a page of our own.

parquet.py      some rows and columns of a Parquet file, without the others
columns.py      the columns that a person can sort and filter by
view.py         a view: conditions, a search and an order; as JSON, in an address, and as SQL
table.py        the samples that pass a view, their bins and their rows
completions.py  a sample's completions, found without a scan
facts.py        all that is known of one sample, as the page and the terminal show it
formulas.py     LaTeX in texts as MathML
pictures.py     images from the dataset, else from the run's thumbnails
marks.py        what a person marked, in a file of theirs
charts.py       the report's curves, bars and heat map, each with the condition that it stands for
server.py       the server, and what it refuses
static.py       a folder to share, without a server
page/           the page: HTML, CSS, JavaScript; nothing is loaded from elsewhere
"""
