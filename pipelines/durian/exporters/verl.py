"""verl: labels inside `extra_info`, which both of its trainers carry to the advantages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from durian.exporters.base import LABEL_TYPES, Chat, Form, Given, Types, Written, chat_type
from durian.records import JsonObject

_INFO = {
    "split": pa.string(),
    "index": pa.int64(),
    "question": pa.string(),
    "answer": pa.string(),
    **LABEL_TYPES,
}


def _rows(given: Given) -> Iterator[JsonObject]:
    own = dict(given.own)
    info = own.pop("extra_info", None)
    yield {
        **own,
        "data_source": _text(own.get("data_source")) or given.source,
        "prompt": given.messages,
        "images": given.images,
        "ability": _text(own.get("ability")) or "vision",
        "reward_model": {"style": "rule", "ground_truth": given.answer},
        "extra_info": {
            **(info if isinstance(info, dict) else {}),
            "split": given.part,
            "index": given.row,
            "question": given.problem,
            "answer": given.answer,
            **given.labels,
        },
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _fields(own: Types, images: pa.DataType, chat: Chat | None) -> Types:
    known = own.get("extra_info")
    theirs = {f.name: f.type for f in known} if known and pa.types.is_struct(known) else {}
    return {
        **own,
        "data_source": pa.string(),
        "prompt": chat_type(chat),
        "images": images,
        "ability": pa.string(),
        "reward_model": pa.struct([("style", pa.string()), ("ground_truth", pa.string())]),
        "extra_info": pa.struct(list({**theirs, **_INFO}.items())),
    }


def _launch(written: Written) -> Sequence[str]:
    return [
        "python3 -m verl.trainer.main_ppo algorithm.adv_estimator=durian "
        "data.custom_cls.path=pkg://durian.plugins.durian_verl "
        "data.custom_cls.name=DurianDataset "
        f"data.train_files={written.train} data.val_files={written.other} "
        "data.prompt_key=prompt data.image_key=images data.train_batch_size=512 "
        f"actor_rollout_ref.rollout.n=8 actor_rollout_ref.model.path={written.model} "
        "reward.custom_reward_function.path=$(python3 -m durian.plugins.path reward) "
        "reward.custom_reward_function.name=compute_score"
    ]


VERL = Form(
    rows=_rows,
    fields=_fields,
    launch=_launch,
    chat="marks",
    texts=True,
    merges=frozenset({"data_source", "ability", "extra_info"}),
    # It makes columns of these names itself, and asserts that the dataset has none.
    reserved=frozenset(
        {"index", "raw_prompt", "tools_kwargs", "interaction_kwargs", "dummy_tensor", "uid"}
    ),
)
