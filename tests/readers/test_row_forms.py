"""The same three rows, as the trainers and datasets of others write them, give the same samples."""

import base64
import csv
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from durian.config import DatasetConfig
from durian.errors import DatasetError
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import scan
from durian.run.progress import Silent
from durian.samples import Sample, sample_id


def png(gray: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (5, 4), gray).save(file, "PNG")
    return file.getvalue()


IMAGES = [png(gray) for gray in (10, 20, 30)]
QUESTIONS = ["How many cups?", "What colour is the bus?", "Is it raining?"]
ANSWERS = ["3", "red", "no"]
ROWS = list(zip(QUESTIONS, ANSWERS, range(3), strict=True))


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pics").mkdir()
    for number, image in enumerate(IMAGES):
        Path(f"pics/{number}.png").write_bytes(image)


def opened(dataset: str, **options) -> SampleReader:
    return open_dataset(DatasetConfig(dataset=dataset, **options))


def read(dataset: str, **options) -> list[Sample]:
    return list(opened(dataset, **options).samples())


def write(name: str, rows: list[dict]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def uri(number: int) -> str:
    return f"data:image/png;base64,{base64.b64encode(IMAGES[number]).decode()}"


def embedded(number: int) -> dict:
    return {"bytes": IMAGES[number], "path": None}


def user(content: object) -> dict:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict:
    return {"role": "assistant", "content": content}


FORMS = {
    "verl": lambda q, a, n: {
        "data_source": "x", "prompt": [user(f"<image>{q}")], "images": [f"pics/{n}.png"],
        "reward_model": {"style": "rule", "ground_truth": a}, "extra_info": {"answer": "other"},
    },
    "ms-swift": lambda q, a, n: {
        "messages": [user(f"<image>{q}")], "images": [f"pics/{n}.png"],
        "solution": f"<answer> {a} </answer>",
    },
    "LLaVA": lambda q, a, n: {
        "id": str(n), "image": f"pics/{n}.png",
        "conversations": [{"from": "human", "value": f"<image>\n{q}"}, {"from": "gpt", "value": a}],
    },
    "ShareGPT with roles": lambda q, a, n: {
        "images": [f"pics/{n}.png"], "conversations": [user(f"<image>{q}"), assistant(a)],
    },
    "OpenAI parts": lambda q, a, n: {
        "messages": [
            user([{"type": "image_url", "image_url": {"url": uri(n)}},
                  {"type": "text", "text": q}]),
            assistant(a),
        ],
    },
    "OpenAI responses": lambda q, a, n: {
        "messages": [
            user([{"type": "input_image", "image_url": uri(n)},
                  {"type": "input_text", "text": q}]),
        ],
        "answer": a,
    },
    "TRL prompt and completion": lambda q, a, n: {
        "prompt": [user([{"type": "image", "text": None}, {"type": "text", "text": q}])],
        "completion": [assistant(a)], "images": [f"pics/{n}.png"],
    },
    "TRL of texts": lambda q, a, n: {
        "prompt": f"<image>{q}", "completion": a, "image": f"pics/{n}.png",
    },
    "TRL for GRPO": lambda q, a, n: {
        "prompt": [user(q)], "solution": f"<think>so</think><answer>{a}</answer>",
        "image": {"path": f"pics/{n}.png"},
    },
    "FineVision": lambda q, a, n: {
        "images": [f"pics/{n}.png"], "texts": [{"user": q, "assistant": a}], "source": "clevr",
    },
    "messages as JSON text": lambda q, a, n: {
        "messages": json.dumps([user(q), assistant(a)]), "image": f"pics/{n}.png",
    },
    "messages in the problem": lambda q, a, n: {
        "problem": [user(q)], "answer": a, "images": f'["pics/{n}.png"]',
    },
}  # fmt: skip


def bare(sample: Sample) -> tuple[str, str, tuple[bytes, ...], object]:
    problem = " ".join(sample.problem.replace("<image>", " ").split())
    return problem, sample.answer, sample.images, sample.error or sample.question_error


PLAIN = [(q, a, (IMAGES[n],), None) for q, a, n in ROWS]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_of_messages_is_found_by_itself(form):
    name = write("a.jsonl", [FORMS[form](*row) for row in ROWS])
    reader = opened(name)
    assert [bare(sample) for sample in reader.samples()] == PLAIN
    assert reader.described["notes"] == []


def test_a_form_is_said_with_where_its_parts_stand():
    reader = opened(write("a.jsonl", [FORMS["verl"](*row) for row in ROWS]))
    assert reader.described == {
        "form": "verl", "problem": "prompt", "answer": "reward_model.ground_truth",
        "images": ["images"], "options": [], "notes": [],
    }  # fmt: skip
    assert reader.said == [
        "rows read as verl: problem from prompt, answer from reward_model.ground_truth, images "
        "from images"
    ]
    reader = opened(write("b.jsonl", [FORMS["LLaVA"](*row) for row in ROWS]))
    assert reader.described["answer"] == "conversations (last message of the assistant)"
    plain = write("c.jsonl", [{"problem": q, "answer": a} for q, a, _ in ROWS])
    assert opened(plain).said == []


def test_rows_of_finevision_with_several_turns_are_read_as_messages_are():
    turns = [
        {"user": "What is it?", "assistant": "a bus"},
        {"user": "Is it red?", "assistant": "no"},
    ]
    reader = opened(write("a.jsonl", [{"image": "pics/0.png", "texts": turns}]))
    [sample] = reader.samples()
    assert (sample.problem, sample.answer) == ("What is it?\nIs it red?", "no")
    assert (sample.user_turns, len(sample.images)) == (2, 1)
    assert reader.described["form"] == "FineVision"


def test_rows_under_a_key_whose_columns_are_user_and_assistant_stay_rows():
    rows = [{"user": q, "assistant": a} for q, a, _ in ROWS]
    Path("a.json").write_text(json.dumps({"train": rows}))
    read_rows = read("a.json", problem_column="user", answer_column="assistant")
    assert [sample.answer for sample in read_rows] == ANSWERS


def test_verl_s_parquet_file_is_read():
    rows = [{**FORMS["verl"](*row), "images": [embedded(row[2])]} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), "a.parquet")
    assert [bare(sample) for sample in read("a.parquet")] == PLAIN


def test_the_id_of_messages_is_of_the_user_s_turns_as_joined_and_of_the_raw_answer():
    [sample, *_] = read(write("a.jsonl", [FORMS["ms-swift"](*row) for row in ROWS]))
    assert sample.sample_id == sample_id(
        "<image>How many cups?", "<answer> 3 </answer>", [IMAGES[0]]
    )


def test_several_turns_are_joined_and_a_system_turn_is_the_sample_s_own_prompt():
    turns = [
        {"role": "system", "content": "Be brief."},
        user("Look."), assistant("I do."), user("How many?"), assistant("4"),
    ]  # fmt: skip
    reader = opened(write("a.jsonl", [{"messages": turns}]))
    [sample] = reader.samples()
    assert (sample.problem, sample.answer, sample.system) == ("Look.\nHow many?", "4", "Be brief.")
    assert reader.described["notes"] == ["system messages stand in place of --system-prompt"]


def test_a_system_column_beside_messages_is_the_sample_s_own_prompt():
    turns = [user("p"), assistant("1")]
    own = [{"role": "system", "content": "Be long."}, *turns]
    rows = [
        {"messages": turns, "system": "Be brief."},
        {"messages": own, "system": "Be brief."},
        {"messages": turns, "system": ""},
    ]
    reader = opened(write("a.jsonl", rows))
    assert [sample.system for sample in reader.samples()] == ["Be brief.", "Be long.", None]
    assert reader.described["notes"] == ["system messages stand in place of --system-prompt"]
    # Beside a problem that is no list of messages it is a column like any other.
    [plain] = read(write("b.jsonl", [{"problem": "p", "answer": "1", "system": "solar"}]))
    assert plain.system is None


def test_rows_with_several_turns_of_the_user_are_counted_once_for_all():
    class Notes(Silent):
        def note(self, text: str) -> None:
            noted.append(text)

    noted: list[str] = []
    once = [user("p"), assistant("1")]
    rows = [once, [*once, user("q"), assistant("2")], [user("p"), user("q"), assistant("2")]]
    reader = opened(write("a.jsonl", [{"messages": turns} for turns in rows]))
    index = scan(reader.samples(), Notes(), own_ids=False)
    said = (
        "2 rows have several turns of the user: they are one problem, one below the other, and "
        "what the assistant says between them is left out"
    )
    assert index.notes == [said] and noted == [f"rows: {said}"]
    assert reader.described_with(index.notes)["notes"] == [said]
    assert scan(read(write("b.jsonl", [{"messages": once}])), Silent(), own_ids=False).notes == []


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"role": "tool", "content": "x"}, "a message is of role 'tool'"),
        (user([{"type": "video", "video": "x.mp4"}]),
         "a part of a message is of type 'video'; only images are read"),
        (user([7]), "a part of a message is of type int"),
        (user(7), "a message's content is of type int"),
        (user("<video>What happens?"), "the problem holds a <video> mark; only images are read"),
        (user("<Audio>Who speaks?"), "the problem holds a <audio> mark; only images are read"),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_asked_is_an_error_of_that_row_alone(message, error):
    good = [user("p"), assistant("1")]
    name = write("a.jsonl", [{"messages": good}, {"messages": [message, assistant("1")]}])
    assert [sample.question_error for sample in read(name)] == [None, error]


def test_images_in_messages_and_in_a_column_too_are_an_error():
    row = {**FORMS["OpenAI parts"](*ROWS[0]), "image": "pics/0.png"}
    assert read(write("a.jsonl", [row]))[0].error == (
        "images stand both in the messages and in a column of their own"
    )


def test_the_contract_s_own_names_come_before_a_form():
    row = {**FORMS["verl"](*ROWS[0]), "problem": "Mine?", "answer": "yes"}
    [sample] = read(write("a.jsonl", [row]))
    assert (sample.problem, sample.answer) == ("Mine?", "yes")


def test_two_columns_of_equal_rank_are_refused_by_name():
    turns = [user("p"), assistant("1")]
    write("a.jsonl", [{"messages": turns, "conversations": turns}])
    with pytest.raises(DatasetError) as caught:
        opened("a.jsonl")
    assert str(caught.value) == (
        "a.jsonl: conversations and messages could each be the problem; "
        "pass --problem-column conversations or --problem-column messages"
    )
    assert read("a.jsonl", problem_column="messages")[0].answer == "1"
    write("b.jsonl", [{"prompt": [user("p")], "solution": "1", "ground_truth": "2"}])
    with pytest.raises(DatasetError, match=r"^b\.jsonl: solution and ground_truth could each be"):
        opened("b.jsonl")


def test_a_name_with_dots_reaches_into_a_struct():
    row = {
        "extra": {"question": "p", "more": {"answer": 1, "uid": "u"}, "image": "pics/0.png"},
        "text": json.dumps({"question": "from JSON"}),
        "dotted.name": "x",
    }
    pq.write_table(pa.Table.from_pylist([row]), "a.parquet")
    for name in (write("a.jsonl", [row]), "a.parquet"):
        named = {"answer_column": "extra.more.answer", "images_column": "extra.image"}
        [sample] = read(name, problem_column="extra.question", id_column="extra.more.uid", **named)
        assert (sample.sample_id, *bare(sample)) == ("u", "p", "1", (IMAGES[0],), None)
        assert read(name, problem_column="text.question", **named)[0].problem == "from JSON"
        assert read(name, problem_column="dotted.name", **named)[0].problem == "x"
    with pytest.raises(DatasetError, match=r"no column 'extra\.nothing'"):
        opened("a.jsonl", problem_column="extra.nothing")


@pytest.mark.parametrize("name", ["image_url", "image_urls"])
def test_paths_under_a_name_of_addresses_are_not_left_out_in_silence(name):
    rows = [{"messages": [user(q), assistant(a)], name: [f"pics/{n}.png"]} for q, a, n in ROWS]
    write("a.jsonl", rows)
    with pytest.raises(DatasetError, match=f"no column 'images' .*; pass --images-column {name}$"):
        opened("a.jsonl")
    assert [bare(sample) for sample in read("a.jsonl", images_column=name)] == PLAIN


def test_a_hint_names_no_column_that_cannot_serve():
    rows = [{"problem": "p", "solution": {"steps": [1]}, "label": "cat", "image": 7}]
    with pytest.raises(DatasetError, match="pass --answer-column label$"):
        opened(write("a.jsonl", rows))
    with pytest.raises(DatasetError, match="pass --images-column COLUMN$"):
        opened("a.jsonl", images_column="pics", answer_column="label")
    write("b.jsonl", [{"note": "x", "dialogue": [user("p"), assistant("1")]}])
    with pytest.raises(DatasetError, match="pass --problem-column dialogue$"):
        opened("b.jsonl")


# Files


def plain_rows() -> list[dict]:
    return [{"problem": q, "answer": a, "image": f"pics/{n}.png"} for q, a, n in ROWS]


def lines() -> str:
    return "".join(json.dumps(row) + "\n" for row in plain_rows())


def zstd(text: str) -> bytes:
    return bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))


def table(delimiter: str) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(plain_rows()[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(plain_rows())
    return file.getvalue()


def by_column() -> dict[str, list]:
    return {name: [row[name] for row in plain_rows()] for name in plain_rows()[0]}


FILES = {
    "a.ndjson": lines,
    "a.jsonl.gz": lambda: gzip.compress(lines().encode()),
    "a.jsonl.zst": lambda: zstd(lines()),
    "a.ndjson.gz": lambda: gzip.compress(lines().encode()),
    "a.tsv": lambda: table("\t"),
    "a.tsv.gz": lambda: gzip.compress(table("\t").encode()),
    "a.csv.zst": lambda: zstd(table(",")),
    "a.json.gz": lambda: gzip.compress(json.dumps(plain_rows()).encode()),
    "lines.json": lines,
    "key.json": lambda: json.dumps({"version": "1", "info": {"by": "me"}, "data": plain_rows()}),
    "pretty.json": lambda: json.dumps({"rows": plain_rows()}, indent=2),
    "splits.json": lambda: json.dumps({"test": plain_rows()[:1], "train": plain_rows()}),
    "columns.json": lambda: json.dumps(by_column()),
    "pandas.json": lambda: json.dumps(
        {name: {str(i): v for i, v in enumerate(of)} for name, of in by_column().items()}
    ),
    "pandas_split.json": lambda: json.dumps(
        {"columns": list(plain_rows()[0]), "index": [0, 1, 2],
         "data": [list(row.values()) for row in plain_rows()]}
    ),
    "splits_under_a_key.json": lambda: json.dumps(
        {"version": 2, "data": {"test": plain_rows()[:1], "train": plain_rows()}}
    ),
    "ids_under_a_key.json": lambda: json.dumps(
        {"version": 2, "data": {str(i): row for i, row in enumerate(plain_rows())}}
    ),
    "objects.json": lambda: json.dumps(
        {**{name: dict(enumerate(of)) for name, of in by_column().items()},
         "image": {i: {"path": row["image"]} for i, row in enumerate(plain_rows())}}
    ),
    "ids.json": lambda: json.dumps({str(i): row for i, row in enumerate(plain_rows(), start=41)}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_samples(name):
    content = FILES[name]()
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert [bare(sample) for sample in read(name)] == PLAIN
    assert [bare(sample) for sample in opened(name).samples(start=2)] == PLAIN[2:]


def test_rows_under_their_ids_keep_them():
    Path("ids.json").write_text(FILES["ids.json"]())
    assert [sample.sample_id for sample in read("ids.json", id_column="id")] == ["41", "42", "43"]


def test_one_row_that_is_an_object_is_a_row():
    Path("one.json").write_text(json.dumps(plain_rows()[0]))
    assert [bare(sample) for sample in read("one.json")] == PLAIN[:1]
    Path("one.json").write_text(json.dumps(FORMS["LLaVA"](*ROWS[0])))
    assert [bare(sample) for sample in read("one.json")] == PLAIN[:1]


def test_rows_under_several_keys_are_chosen_by_the_split():
    Path("a.json").write_text(json.dumps({"val": plain_rows()[:1], "test": plain_rows()}))
    assert [bare(sample) for sample in read("a.json", split="test")] == PLAIN
    with pytest.raises(DatasetError, match=r"several keys \(val, test\); pass --split with one"):
        opened("a.json")


def test_several_json_files_of_lines_are_one_dataset():
    Path("set").mkdir()
    for number, row in enumerate(plain_rows()):
        Path(f"set/{number}.json").write_text(json.dumps({**row, "image": f"../pics/{number}.png"}))
    reader = opened("set", image_root=".")
    assert [sample.source_file for sample in reader.samples()] == ["0.json", "1.json", "2.json"]
    assert [sample.problem for sample in reader.samples()] == QUESTIONS


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.json", "a.csv", "a.arrow", "a.tar"])
def test_a_pointer_of_git_lfs_in_place_of_the_data_is_named(name):
    Path(name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DatasetError) as caught:
        opened(name)
    assert str(caught.value) == (
        f"{name}: a Git LFS pointer in place of the data; fetch that with `git lfs pull`"
    )


def test_columns_between_semicolons_are_told():
    Path("a.csv").write_text("problem;answer\np;1\n")
    with pytest.raises(DatasetError, match="are separated by ';'; save it with commas, or with"):
        opened("a.csv")


def test_a_cut_archive_is_named():
    Path("a.jsonl.gz").write_bytes(gzip.compress(lines().encode())[:-20])
    with pytest.raises(DatasetError, match=r"^a\.jsonl\.gz: cannot be read as JSON: "):
        read("a.jsonl.gz")


def test_keys_and_columns_that_stand_twice_are_told():
    Path("a.jsonl").write_text('{"problem": "p", "answer": "1", "answer": "2"}\n' + lines())
    assert read("a.jsonl")[0].error == "line 1 has the key 'answer' twice"
    for text in ('[{"answer": "1", "answer": "2"}]', '{"data": [{"answer": "1", "answer": "2"}]}'):
        Path("a.json").write_text(text)
        with pytest.raises(DatasetError, match="an object has the key 'answer' twice; remove one"):
            read("a.json")
    Path("a.csv").write_text("problem,answer,answer\np,1,2\n")
    pq.write_table(pa.table([["p"], ["1"], ["2"]], ["problem", "answer", "answer"]), "a.parquet")
    for name in ("a.csv", "a.parquet"):
        with pytest.raises(DatasetError) as caught:
            read(name)
        assert (
            str(caught.value) == f"{name}: column 'answer' stands there twice; rename one of them"
        )


def readme(configs: str) -> None:
    Path("set/data").mkdir(parents=True)
    write("set/data/a.jsonl", [{"problem": "a", "answer": "1"}])
    write("set/data/b.jsonl", [{"problem": "b", "answer": "1"}])
    Path("set/README.md").write_text(f"---\nlicense: mit\nconfigs:\n{configs}---\n# Title\n")


def test_the_readme_of_a_clone_says_which_files_are_a_split():
    readme(
        "- config_name: default\n  data_files:\n  - split: train\n    path: data/b*\n"
        "  - split: test\n    path: [data/a.jsonl]\n"
    )
    assert [sample.problem for sample in read("set")] == ["b"]
    assert [sample.problem for sample in read("set", split="test")] == ["a"]
    with pytest.raises(DatasetError) as caught:
        read("set", split="val")
    assert str(caught.value) == "set: no split 'val' (found: train, test); pass --split train"


PLACES = [
    "data_dir: ..\n  data_files: '*.jsonl'",
    "data_dir: data/../..\n  data_files: '*.jsonl'",
    "data_dir: {root}\n  data_files: '*.jsonl'",
    "data_files: ../*.jsonl",
]


@pytest.mark.parametrize("place", PLACES)
def test_the_readme_of_a_clone_reaches_no_file_outside_of_it(place):
    """The secret lies beside the clone; a README is data, and may be hostile."""
    write("secret.jsonl", [{"problem": "secret", "answer": "1"}])
    readme(f"- config_name: default\n  {place.format(root=Path.cwd())}\n")
    with pytest.raises(DatasetError, match="its files of split 'train' are not here"):
        read("set")


def test_several_configurations_without_a_default_are_told():
    readme(
        "- config_name: easy\n  data_files: data/a.jsonl\n"
        "- config_name: hard\n  data_files: data/b.jsonl\n"
    )
    with pytest.raises(DatasetError) as caught:
        read("set")
    assert str(caught.value) == (
        "set: several configurations (easy, hard); pass a glob for the files of one, "
        "such as 'set/data/a.jsonl'"
    )


def test_runs_inside_the_dataset_s_folder_are_no_data():
    Path("set/out/parts").mkdir(parents=True)
    Path("set/done").mkdir()
    write("set/a.jsonl", [{"problem": "p", "answer": "1"}])
    Path("set/out/parts/identity.json").write_text("{}")
    Path("set/out/parts/part-00000.parquet").write_bytes(b"x")
    for name in ("manifest.json", "difficulty.parquet"):
        Path("set/done", name).write_bytes(b"x")
    assert [sample.problem for sample in read("set")] == ["p"]


def test_the_source_file_is_named_within_the_dataset():
    Path("set/deep").mkdir(parents=True)
    for name in ("set/a.jsonl", "set/deep/b.jsonl"):
        write(name, [{"problem": "p", "answer": "1"}])
    for dataset in ("set", "set/**/*.jsonl"):
        assert [s.source_file for s in read(dataset)] == ["a.jsonl", "deep/b.jsonl"]
    assert [s.source_file for s in read("set/deep/b.jsonl")] == ["b.jsonl"]
