"""Files wherever they lie: here, in a bucket, on the Hub or on a web server."""

from durian.places.remote import Place, Remote, before_magic, globbed, place_of, relative, walk

__all__ = ["Place", "Remote", "before_magic", "globbed", "place_of", "relative", "walk"]
