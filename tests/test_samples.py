"""The sample id is the contract's, byte for byte."""

from hashlib import blake2b

from durian.samples import sample_id


def test_id_is_blake2b_over_length_prefixed_fields():
    # Written out by hand: 8 little-endian bytes of length, then the field.
    fed = (
        b"\x03\0\0\0\0\0\0\0" + b"q\xc3\xa9"  # "qé": three bytes of UTF-8
        + b"\x01\0\0\0\0\0\0\0" + b"4"
        + b"\x02\0\0\0\0\0\0\0" + b"\xff\xd8"
    )  # fmt: skip
    assert sample_id("qé", "4", [b"\xff\xd8"]) == blake2b(fed, digest_size=16).hexdigest()


def test_fields_do_not_run_into_each_other():
    ids = {sample_id("ab", "c", []), sample_id("a", "bc", []), sample_id("ab", "", [b"c"]),
           sample_id("ab", "c", [b""])}  # fmt: skip
    assert len(ids) == 4


def test_broken_surrogates_have_an_id():
    assert len(sample_id("\ud800", "", [])) == 32
