"""Every file of a run folder, damaged in every way: one line that names it, and nothing changed."""

import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from durian.errors import RunFolderError
from durian.run.opening import hold_run
from durian.schema import SCHEMA_KEY
from durian.training.folder import open_training

# What reads which file of a run. Training and eval look at the groups of a table alone.
ALL = {
    "report": ["report", "a"],
    "group": ["group", "a", "--bins", "2"],
    "compare": ["compare", "b", "a"],
    "eval": ["eval", "data.parquet", "--model", "a.jsonl", "--engine", "scripted", "--rollouts",
             "2", "--table", "a", "--quiet"],
    "export": ["export", "a", "--to", "sft", "--out", "e", "--quiet"],
}  # fmt: skip
TABLES = {name: args for name, args in ALL.items() if name not in ("eval", "export")}
TABLE, ROLLOUTS, COLUMNS = "a/difficulty.parquet", "a/rollouts.parquet", "a/columns.parquet"
THUMBNAILS, MANIFEST = "a/thumbnails.parquet", "a/manifest.json"


def cut(at):
    def damage(path):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * at)])

    return damage


def written(content):
    return lambda path: path.write_bytes(content)


def folder(path):
    path.unlink()
    path.mkdir()


def changed(*columns, **named):
    """Replace columns of a table, keeping what the file says of itself."""

    def damage(path):
        metadata = pq.read_schema(path).metadata or {}
        frame = pl.read_parquet(path, glob=False).with_columns(*columns, **named)
        pq.write_table(frame.to_arrow().replace_schema_metadata(metadata), path)

    return damage


def rows(choose):
    def damage(path):
        metadata = pq.read_schema(path).metadata or {}
        frame = choose(pl.read_parquet(path, glob=False))
        pq.write_table(frame.to_arrow().replace_schema_metadata(metadata), path)

    return damage


def version(number):
    def damage(path):
        table = pq.read_table(path)
        metadata = {**table.schema.metadata, SCHEMA_KEY: number}
        pq.write_table(table.replace_schema_metadata(metadata), path)

    return damage


def flipped(path):
    """Damage inside the pages, which the footer cannot tell."""
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(b ^ 0x5A for b in content[4:200])
    path.write_bytes(content)


FILES = [
    (cut(0), "empty"),
    (cut(0.5), "cut in the middle"),
    (cut(0.99), "cut near its end"),
    (written(b"PAR1"), "a magic number alone"),
    (written(b"{}" * 50), "another kind of file"),
    (folder, "a folder"),
    (flipped, "pages that were overwritten"),
    (version(b"3"), "a newer schema"),
    (version(b"one"), "a schema that is no number"),
]


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize(("damage", "why"), FILES, ids=[why for _, why in FILES])
def test_a_difficulty_table_that_is_no_table_is_refused(here, refused, damage, why, command):
    damage(here / TABLE)
    assert TABLE in refused(*ALL[command])


@pytest.mark.parametrize("file", [ROLLOUTS, COLUMNS, THUMBNAILS])
@pytest.mark.parametrize(("damage", "why"), FILES[:6], ids=[why for _, why in FILES[:6]])
def test_a_table_beside_it_that_is_no_table_is_refused(here, refused, damage, why, file):
    damage(here / file)
    for args in TABLES.values():
        assert file in refused(*args)


@pytest.mark.parametrize("file", [ROLLOUTS, COLUMNS])
@pytest.mark.parametrize(("damage", "why"), FILES[:6], ids=[why for _, why in FILES[:6]])
def test_an_export_reads_both_and_says_so(here, refused, damage, why, file):
    damage(here / file)
    assert file in refused(*ALL["export"])


@pytest.mark.parametrize(
    ("key", "value"), [("dataset", 5), ("split", ["train"]), ("limit", "all"), ("id_column", 1)]
)
def test_an_export_goes_by_a_manifest_that_can_be_read(here, refused, key, value):
    manifest = json.loads((here / MANIFEST).read_text())
    manifest["config"][key] = value
    (here / MANIFEST).write_text(json.dumps(manifest))
    assert f"{MANIFEST}: '{key}': expected" in refused(*ALL["export"])


VIEWED = (["show", "a", "--row", "0", "--quiet"], ["view", "a", "--static", "s", "--quiet"])


@pytest.mark.parametrize("file", [TABLE, ROLLOUTS, COLUMNS])
@pytest.mark.parametrize(("damage", "why"), FILES[:7], ids=[why for _, why in FILES[:7]])
def test_a_table_that_cannot_be_looked_at_is_named(here, refused, damage, why, file):
    damage(here / file)
    for args in VIEWED:
        assert file in refused(*args)


def test_lost_tables_are_named(here, refused):
    for file in (ROLLOUTS, TABLE):
        (here / file).unlink()
        for name, args in TABLES.items():
            said = refused(*args)
            assert file in said or (file == TABLE and "a: has no difficulty.parquet" in said), name
    assert TABLE in refused(*ALL["eval"])


null, nan = pl.lit(None), pl.lit(float("nan"))
CELLS = [
    # what is done to a column of which file, and what is said of it
    (TABLE, changed(sample_id=pl.lit("x")), "11 repeated ids in 'sample_id'"),
    (TABLE, changed(sample_id=null.cast(pl.String)), "column 'sample_id' has nulls"),
    (TABLE, changed(sample_id=pl.lit(1)), "column 'sample_id' is of type int32, not text"),
    (TABLE, changed(perceptual_group=pl.lit("[red]")), "'perceptual_group' has other groups"),
    (TABLE, changed(perceptual_group=pl.lit(1)), "column 'perceptual_group' is of type"),
    (TABLE, changed(reasoning_group=pl.lit("0")), "column 'reasoning_group' is of type"),
    (TABLE, changed(reasoning_group=pl.lit(-5)), "column 'reasoning_group' has numbers that"),
    (TABLE, rows(lambda frame: frame.head(0)), "has no rows"),
    (TABLE, rows(lambda frame: frame.drop("reasoning_group")), "lacks the column 'reasoning_gr"),
]
WHOLE = [
    (TABLE, changed(problem=null.cast(pl.String)), "column 'problem' has nulls"),
    (TABLE, changed(problem=pl.lit(b"x")), "column 'problem' is of type"),
    (TABLE, changed(row=pl.lit(0.5)), "column 'row' is of type double, not whole numbers"),
    (TABLE, changed(pixel_entropy=nan), "column 'pixel_entropy' has NaN or infinite numbers"),
    (TABLE, changed(mean_logprob=pl.lit(-float("inf"))), "column 'mean_logprob' has NaN or inf"),
    (TABLE, changed(pass_rate=pl.lit(7.0)), "column 'pass_rate' has numbers that it cannot hold"),
    (TABLE, changed(pass_rate=pl.lit("1")), "column 'pass_rate' is of type"),
    (TABLE, changed(rollouts=pl.lit(-1)), "column 'rollouts' has numbers that it cannot hold"),
    (TABLE, rows(lambda frame: frame.drop("pass_rate")), "lacks the column 'pass_rate'"),
    (ROLLOUTS, changed(rollout=pl.lit(0)), "36 repeated pairs of 'sample_id' and 'rollout'"),
    (ROLLOUTS, changed(n_tokens=pl.lit(0)), "column 'n_tokens' has numbers that it cannot hold"),
    (ROLLOUTS, changed(sum_logprob=nan), "column 'sum_logprob' has NaN or infinite numbers"),
    (ROLLOUTS, changed(correct=pl.lit("yes")), "column 'correct' is of type"),
    (ROLLOUTS, changed(completion=pl.lit(1)), "column 'completion' is of type"),
    (ROLLOUTS, rows(lambda frame: frame.drop("reward")), "lacks the column 'reward'"),
    (COLUMNS, rows(lambda frame: frame.reverse()), "has other samples than difficulty.parquet"),
    (COLUMNS, rows(lambda frame: frame.head(3)), "has other samples than difficulty.parquet"),
    (COLUMNS, rows(lambda frame: frame.drop("image_id")), "lacks the column 'image_id'"),
    (COLUMNS, changed(level=pl.lit(float("inf"))), "column 'level' has NaN or infinite numbers"),
    (THUMBNAILS, changed(jpeg=pl.lit("x")), "column 'jpeg' is of type"),
    (THUMBNAILS, rows(lambda frame: frame.drop("jpeg")), "lacks the column 'jpeg'"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "damage", "said"), CELLS, ids=[said for *_, said in CELLS])
def test_columns_that_every_reader_needs_are_refused_by_name(here, refused, file, damage, said):
    damage(here / file)
    for args in ALL.values():
        line = refused(*args)
        assert file in line and said in line


@pytest.mark.parametrize(("file", "damage", "said"), WHOLE, ids=[said for *_, said in WHOLE])
def test_columns_that_a_report_needs_are_refused_by_name(here, refused, file, damage, said):
    damage(here / file)
    for args in TABLES.values():
        line = refused(*args)
        assert file in line and said in line


def set_at(place, value):
    def damage(manifest):
        *path, last = place.split(".")
        for name in path:
            manifest = manifest[name]
        manifest[last] = value

    return damage


NO_MANIFEST = [
    (b"", "empty"),
    (b'{"schema": 1, "config": {"a"', "cut short"),
    (b"[]", "a list"),
    (b"null", "null"),
    (b'{"a": NaN}', "not a number"),
    (b'{"a": 1e999}', "a number beyond all floats"),
    (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested 100,000 deep"),
    (b'{"a": ' + b"1" * 5_000 + b"}", "an integer of 5,000 digits"),
    (b'{"a": "\xff"}', "not UTF-8"),
    (b"\0" * 100, "zeros"),
    (b"{}" + b" " * 10_000_000 + b"x", "ten megabytes of nothing"),
]


@pytest.mark.parametrize(("content", "why"), NO_MANIFEST, ids=[why for _, why in NO_MANIFEST])
def test_a_manifest_that_is_no_json_object_is_refused(here, refused, content, why):
    (here / MANIFEST).write_bytes(content)
    for args in ALL.values():
        assert MANIFEST in refused(*args)
    profile = ["profile", "data.parquet", "--measures", "pixel", "--out", "a"]
    assert MANIFEST in refused(*profile)
    assert MANIFEST in refused(*profile, "--dry-run")


KEYS = [
    ("groups", [], "is not of a profile"),
    ("groups.perceptual", 1, "'groups.perceptual': expected object, got int"),
    ("groups.perceptual.measure", ["x"], "'groups.perceptual.measure': expected str, got array"),
    ("dataset", "shapes", "'dataset': expected object, got str"),
    ("dataset.name", 1e300, "'dataset.name': expected str, got float"),
    ("model", None, "'model': expected object, got null"),
    ("config", [], "'config': expected object, got array"),
    ("config.system_prompt", 1, "'config.system_prompt': expected str | null, got int"),
    ("config.max_pixels", -1, "'config.max_pixels': expected int >= 0"),
    ("groups.reasoning.edges", ["x"], "'groups.reasoning.edges[0]': expected float, got str"),
    ("groups.reasoning.sizes", {"0": -1}, "'groups.reasoning': sizes of group '0' is below 0"),
    ("groups.reasoning.bins", "many", "'groups.reasoning.bins': invalid enum value 'many'"),
    ("groups.perceptual.percentiles", [1], "'groups.perceptual.percentiles': expected array of l"),
    ("counts.samples", "12", "'counts.samples': expected int, got str"),
    ("counts.samples", True, "'counts.samples': expected int, got bool"),
    ("groups.reasoning.edges", [10**400], "'groups.reasoning.edges[0]': number out of range"),
    ("groups.reasoning.chosen", {}, "lacks 'groups.reasoning.chosen."),
    ("created", 0, "'created': expected str, got int"),
]


@pytest.mark.parametrize(("place", "value", "said"), KEYS, ids=[place for place, *_ in KEYS])
def test_a_manifest_of_other_types_is_refused_by_its_key(here, refused, place, value, said):
    table = pq.read_table(here / TABLE)  # what it says of its groups stands above the manifest's
    kept = {k: v for k, v in table.schema.metadata.items() if k != b"durian.groups"}
    pq.write_table(table.replace_schema_metadata(kept), here / TABLE)
    manifest = json.loads((here / MANIFEST).read_text())
    set_at(place, value)(manifest)
    (here / MANIFEST).write_text(json.dumps(manifest))
    for args in ALL.values():
        line = refused(*args)
        assert MANIFEST in line and said in line


def test_groups_in_the_tables_own_metadata_are_checked_too(here, refused):
    table = pq.read_table(here / TABLE)
    for groups, said in ((b"{", "cannot be read"), (b"[1]", "not of a profile"),
                         (b'{"perceptual": {}}', "lacks 'groups.perceptual.measure'")):  # fmt: skip
        metadata = {**table.schema.metadata, b"durian.groups": groups}
        pq.write_table(table.replace_schema_metadata(metadata), here / TABLE)
        for args in ALL.values():
            assert said in refused(*args)


def test_a_report_that_is_gone_or_damaged_is_named_when_a_profile_is_repeated(here, refused):
    summary = here / "a" / "report" / "summary.json"
    again = ["profile", "data.parquet", "--engine", "scripted", "--model", "a.jsonl", "--rollouts",
             "4", "--bins", "3", "--out", "a"]  # fmt: skip
    summary.write_text('{"a": ')
    assert "summary.json: cannot be read" in refused(*again)
    summary.unlink()
    assert "run: durian report a" in refused(*again)


def test_a_damaged_summary_of_a_comparison_is_no_comparison(here, refused):
    (here / "compared").mkdir()
    (here / "compared" / "summary.json").write_bytes(b"\xff")
    assert "out: compared holds other files" in refused("compare", "a", "b", "--out", "compared")


def test_one_row_and_odd_but_right_tables_are_read(here, durian):
    rows(lambda frame: frame.head(1))(here / TABLE)
    rows(lambda frame: frame.head(1))(here / COLUMNS)
    rows(lambda frame: frame.head(4))(here / ROLLOUTS)
    assert durian("report", "a")[0] == 0
    # A dataset may name its columns as it likes.
    rows(lambda frame: frame.rename({"level": "^.*$"}))(here / COLUMNS)
    assert durian("report", "a")[0] == 0
    # Another program's strings are longer ones; they are the same text.
    table = pq.read_table(here / TABLE)
    wide = [pa.field(f.name, pa.large_string() if f.type == pa.string() else f.type)
            for f in table.schema]  # fmt: skip
    pq.write_table(table.cast(pa.schema(wide, table.schema.metadata)), here / TABLE)
    assert durian("report", "a")[0] == 0


def test_a_training_or_a_begun_run_of_damaged_identity_is_refused(tmp_path):
    for content in (b"", b"[]", b"\xff", b'{"a": NaN}'):
        training, run = tmp_path / "training", tmp_path / "run"
        for file in (training / "training.json", run / "parts" / "identity.json"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with pytest.raises(RunFolderError, match=r"training\.json: cannot be read .*--fresh"):
            with open_training(training, {}, fresh=False):
                pass
        with pytest.raises(RunFolderError, match=r"identity\.json: cannot be read .*--fresh"):
            with hold_run(run, {}):
                pass
        assert (training / "training.json").read_bytes() == content
        assert (run / "parts" / "identity.json").read_bytes() == content
